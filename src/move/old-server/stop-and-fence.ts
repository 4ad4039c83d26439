import { MigrationError } from "../../errors.ts";
import { closeFile, closeRole, roleName, roleState } from "../../homeserver/database/fence.ts";
import { type Store, storeWords } from "../../homeserver/database/store.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { fenceQuietly, fenceStep, fenceStopped } from "../../homeserver/service/fence/host.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { type Keeper, stopWords } from "../../homeserver/service/keeper.ts";
import { stopServer, waitUntilDown } from "../../homeserver/service/stop.ts";
import type { Finding } from "../../report/finding.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { closedBefore, openFileWords, openRoleWords } from "./still-read-only.ts";

/** The databases of a homeserver, as they are to be closed. */
export interface Databases {
  readonly postgres: readonly { readonly address: PostgresAddress; readonly store: Store }[];
  /** Files of SQLite. */
  readonly files: readonly string[];
}

/** Records the outage. */
export interface OutageClock {
  /** The server is about to be stopped; or, by a run before this one, it was. */
  outageBegins(): Promise<void>;
  /** The stop failed: the server still answers. */
  outageSpared(): Promise<void>;
}

export interface TakeDown {
  readonly homeserver: Homeserver;
  /** As it is to be stopped; the record's is as it is to be started again. */
  readonly keeper: Keeper;
  readonly record: FenceRecord;
  readonly databases: Databases;
  /** Whether it is up. */
  readonly alive: boolean;
  /** Leave the host and the database as they are: only stop it. */
  readonly noFence: boolean;
  readonly accepted: readonly string[];
  /** Everything that shows that it is up, now. */
  readonly look: () => Promise<readonly Finding[]>;
  /** Told when people are about to lose their server, and when they did not after all: the stop failed, and it answers. */
  readonly clock: OutageClock;
}

/**
 * Stops the server and keeps it from coming back, in an order in which what costs people nothing comes first. Each
 * change is written down with its undo before it is made. May be called again after a break: it goes on.
 * Throws `fence-failed`, `homeserver-running`.
 */
export async function takeDown(from: TakeDown, system: System, progress: Progress): Promise<Finding[]> {
  const { keeper, record, alive, noFence } = from;
  const fencing = { record, accepted: from.accepted, ...system };
  const findings: Finding[] = [];
  if (!noFence) findings.push(...(await fenceQuietly(fencing)));
  if (alive) await from.clock.outageBegins();
  try {
    // A unit or container that does not answer may be about to come back.
    if (alive || keeper.kind === "units" || keeper.kind === "containers")
      await stopServer({ keeper, record, ...system });
    if (!noFence) findings.push(...(await fenceStopped(fencing)));
    const person = keeper.kind === "person" && system.terminal.interactive;
    await waitUntilDown(from.look, { person, ...system, progress });
  } catch (error) {
    if (error instanceof MigrationError && (await from.look()).some(isAnswer))
      await from.clock.outageSpared();
    throw error;
  }
  if (!noFence) findings.push(...(await fenceDatabases(from, system)));
  return findings;
}

const isAnswer = ({ id }: Finding) => id === "homeserver-answers";

async function fenceDatabases(from: TakeDown, { postgres, files }: System): Promise<Finding[]> {
  const { databases, record } = from;
  const findings: Finding[] = [];
  for (const { address, store } of databases.postgres) {
    const step = fenceStep(
      "fence-database",
      `${storeWords(store)} cannot be closed to writing`,
      from,
      async () => {
        const session = await postgres.connect(address);
        try {
          const state = await roleState(session);
          const name = roleName(state, store);
          if (state.isSuperuser) findings.push(superuser(state.role));
          if (state.before === "on" && !record.find("role-writes", name)) {
            findings.push(closedBefore(`the database role ${state.role}`, openRoleWords(state)));
            return;
          }
          await record.make({ kind: "role-writes", name, before: state.before }, () =>
            closeRole(session, state),
          );
        } finally {
          await session.close();
        }
      },
    );
    findings.push(...(await step));
  }
  for (const path of databases.files) {
    const step = fenceStep("fence-database", `${path} cannot be closed to writing`, from, async () => {
      const found = await files.follow(path);
      if (!found) return;
      if ((found.mode & 0o222) === 0 && !record.find("file-writes", path)) {
        findings.push(closedBefore(path, openFileWords(path)));
        return;
      }
      await record.make({ kind: "file-writes", name: path, before: found.mode.toString(8) }, () =>
        closeFile(path, files),
      );
    });
    findings.push(...(await step));
  }
  return findings;
}

const superuser = (role: string): Finding => ({
  id: "fence-superuser",
  level: "warning",
  sentence: `the database role ${role} is a superuser: whatever else uses it on this database cannot write either until the fence is lifted`,
  hint: "see that nothing else needs it; give the homeserver a role of its own on the new host",
});

/** For people: everything that is about to happen, a line each. */
export function intentions({
  homeserver,
  keeper,
  databases,
  alive,
  noFence,
}: Pick<TakeDown, "homeserver" | "keeper" | "databases" | "alive" | "noFence">): string[] {
  const lines = alive ? [`${homeserver.serverName} is stopped, by ${stopWords(keeper)}`] : [];
  if (alive && keeper.kind === "commands" && keeper.start === null)
    lines.push("synlift rollback will not be able to start it again: --start-command says what does");
  if (noFence) return [...lines, "nothing keeps it from being started again (--no-fence)"];
  if (keeper.kind === "units") lines.push(`disabled and masked: ${keeper.units.join(", ")}`);
  if (keeper.kind === "containers")
    lines.push(`no longer started by ${keeper.engine} itself: ${keeper.containers.join(", ")}`);
  for (const { address, store } of databases.postgres) {
    const role = address.parameters["user"] ?? "of the server";
    lines.push(`the database role ${role} can only read ${storeWords(store)}`);
  }
  for (const path of databases.files) lines.push(`${path} can only be read`);
  return lines;
}
