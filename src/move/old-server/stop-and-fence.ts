import { MigrationError } from "../../errors.ts";
import {
  assertFenceCanHold,
  assertReadOnlySessions,
  makeFileReadOnly,
  makeRoleReadOnly,
  restoreFileMode,
  roleName,
  roleState,
} from "../../homeserver/database/fence.ts";
import { describeStore, type Store } from "../../homeserver/database/store.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import {
  fenceAfterStop,
  fenceBeforeStop,
  type Fencing,
  fenceStep,
} from "../../homeserver/service/fence/host.ts";
import { restoreWebServer } from "../../homeserver/service/fence/web-server.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { stopServer, waitUntilDown } from "../../homeserver/service/stop.ts";
import { describeStop, type Supervisor } from "../../homeserver/service/supervisor.ts";
import type { Finding } from "../../report/finding.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { beginAnswering, describeAnswer, type MaintenanceAtStop } from "./maintenance-at-stop.ts";
import { alreadyReadOnly, makeFileWritableCommand, makeRoleWritableText } from "./still-read-only.ts";

/** The databases of a homeserver that will be made read-only. */
export interface Databases {
  readonly postgres: readonly { readonly address: PostgresAddress; readonly store: Store }[];
  /** Files of SQLite: each is made complete by itself first, see `Sqlite.recover`. */
  readonly files: readonly string[];
}

/** Records the outage. */
interface OutageClock {
  /** The server is about to be stopped; or, by a run before this one, it was. */
  recordOutageStart(): Promise<void>;
  /** The stop failed: the server still answers. */
  cancelOutage(): Promise<void>;
}

export interface StopAndFenceRequest {
  readonly homeserver: Homeserver;
  /** How to stop it; the record has how to start it again. */
  readonly supervisor: Supervisor;
  readonly record: FenceRecord;
  readonly databases: Databases;
  /** Whether it is running. */
  readonly alive: boolean;
  /** Only stop it, without changing host and database. */
  readonly noFence: boolean;
  /** Undefined: the web server is left alone. */
  readonly maintenance: MaintenanceAtStop | undefined;
  readonly accepted: readonly string[];
  /** Finds all evidence that it is running now. */
  readonly look: () => Promise<readonly Finding[]>;
  /** Told when the outage starts, and when it did not happen because the stop failed and the server still answers. */
  readonly clock: OutageClock;
}

/**
 * Stops the server and fences it, beginning with the changes that do not affect users. Each change is recorded with its
 * undo before it is made. May be repeated after an interruption: it continues.
 * Throws `fence-failed`, `homeserver-running`.
 */
export async function stopAndFence(
  from: StopAndFenceRequest,
  system: System,
  progress: Progress,
): Promise<Finding[]> {
  const { supervisor, record, alive, noFence } = from;
  const fencing = { record, accepted: from.accepted, ...system };
  const findings: Finding[] = [];
  if (!noFence) {
    await assertDatabaseFencesCanHold(from, system);
    findings.push(...(await fenceBeforeStop(fencing)));
  }
  if (alive) await from.clock.recordOutageStart();
  try {
    findings.push(...(await answerMeanwhile(from, fencing, system)));
    // A unit or container that does not answer may be restarting.
    if (alive || supervisor.kind === "units" || supervisor.kind === "containers")
      await stopServer({ supervisor, record, ...system });
    if (!noFence) findings.push(...(await fenceAfterStop(fencing)));
    const person = supervisor.kind === "person" && system.terminal.interactive;
    await waitUntilDown(from.look, { person, ...system, progress });
  } catch (error) {
    if (error instanceof MigrationError && (await from.look()).some(isAnswer))
      await cancelStop(from, system, progress);
    throw error;
  }
  // While the files can still be written to, and also without a fence: it is what the server does at its next start.
  for (const path of from.databases.files) findings.push(...(await mergeSideFiles(path, from, system)));
  if (!noFence) findings.push(...(await fenceDatabases(from, system)));
  return findings;
}

/** From here on clients are told to wait, before the server stops answering them. Throws `fence-failed`. */
async function answerMeanwhile(
  { homeserver, maintenance, record }: StopAndFenceRequest,
  fencing: Pick<Fencing, "accepted">,
  system: System,
): Promise<Finding[]> {
  if (!maintenance) return [];
  const findings: Finding[] = [];
  const base = homeserver.settings["public_baseurl"];
  const publicUrl = typeof base === "string" ? base : undefined;
  const step = fenceStep(
    "maintenance",
    "the maintenance answer cannot be put in place",
    fencing,
    async () => {
      findings.push(...(await beginAnswering(maintenance, { publicUrl, record }, system)));
    },
  );
  return [...(await step), ...findings];
}

/** The server still answers: clients get to it again. */
async function cancelStop(
  { clock, record }: StopAndFenceRequest,
  system: System,
  progress: Progress,
): Promise<void> {
  for (const change of record.activeChanges.filter(({ kind }) => kind === "web-server")) {
    try {
      await restoreWebServer(change, system);
      await record.undone(change);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      progress.note(`the maintenance answer could not be taken away: ${error.message}`);
    }
  }
  await clock.cancelOutage();
}

/** Makes a file complete by itself. Where that is not possible, a private copy is packed instead. */
async function mergeSideFiles(
  path: string,
  { record }: Pick<StopAndFenceRequest, "record">,
  { sqlite, files }: System,
): Promise<Finding[]> {
  if (await sqlite.recover(path)) return [];
  // A server that was started in spite of the fence may have written, as root. The fence closes the file again.
  const before = record.find("file-writes", path)?.before;
  if (before != null) {
    await restoreFileMode(path, before, files);
    if (await sqlite.recover(path)) return [];
  }
  return [
    {
      id: "database-not-merged",
      level: "note",
      sentence: `what the server left beside ${path} could not be merged into it: this account may not write there`,
      hint: "a copy is made first, which takes time and disk space; to avoid it, run synlift as root or as the owner of the file",
    },
  ];
}

const isAnswer = ({ id }: Finding) => id === "homeserver-answers";

/** What is accepted here is reported when the fence is made. */
async function assertDatabaseFencesCanHold(from: StopAndFenceRequest, { postgres }: System): Promise<void> {
  for (const { address, store } of from.databases.postgres)
    await fenceStep("fence-database", cannotBeReadOnly(store), from, () =>
      assertFenceCanHold(address, postgres),
    );
}

const cannotBeReadOnly = (store: Store) => `${describeStore(store)} cannot be made read-only`;

async function fenceDatabases(from: StopAndFenceRequest, { postgres, files }: System): Promise<Finding[]> {
  const { databases, record } = from;
  const findings: Finding[] = [];
  for (const { address, store } of databases.postgres) {
    const step = fenceStep("fence-database", cannotBeReadOnly(store), from, async () => {
      const session = await postgres.connect(address, { writes: true });
      try {
        const state = await roleState(session);
        const name = roleName(state, store);
        if (state.isSuperuser) findings.push(superuser(state.role));
        if (state.before === "on" && !record.find("role-writes", name)) {
          findings.push(alreadyReadOnly(`the database role ${state.role}`, makeRoleWritableText(state)));
          await assertReadOnlySessions(address, state, store, postgres);
          return;
        }
        await record.apply({ kind: "role-writes", name, before: state.before }, async () => {
          await makeRoleReadOnly(session, state);
          await assertReadOnlySessions(address, state, store, postgres);
        });
      } finally {
        await session.close();
      }
    });
    findings.push(...(await step));
  }
  for (const path of databases.files) {
    const step = fenceStep("fence-database", `${path} cannot be made read-only`, from, async () => {
      const found = await files.stat(path);
      if (!found) return;
      if ((found.mode & 0o222) === 0 && !record.find("file-writes", path)) {
        findings.push(alreadyReadOnly(path, makeFileWritableCommand(path)));
        return;
      }
      await record.apply({ kind: "file-writes", name: path, before: found.mode.toString(8) }, () =>
        makeFileReadOnly(path, files),
      );
    });
    findings.push(...(await step));
  }
  return findings;
}

const superuser = (role: string): Finding => ({
  id: "fence-superuser",
  level: "warning",
  sentence: `the database role ${role} is a superuser: other programs that use it on this database cannot write either until the fence is lifted`,
  hint: "make sure that nothing else needs it; create a separate role for the homeserver on the new host",
});

/** Everything that will happen, in words, a line each. */
export function describeStopAndFence({
  homeserver,
  supervisor,
  databases,
  alive,
  noFence,
  maintenance,
}: Omit<StopAndFenceRequest, "record" | "accepted" | "look" | "clock">): string[] {
  const lines = [
    ...(maintenance ? [describeAnswer(maintenance)] : []),
    ...(alive ? [`${homeserver.serverName} is stopped with ${describeStop(supervisor)}`] : []),
  ];
  if (alive && supervisor.kind === "commands" && supervisor.start === null)
    lines.push("synlift rollback cannot start it again without --start-command");
  if (noFence) return [...lines, "it is not fenced and can be started again (--no-fence)"];
  if (supervisor.kind === "units") {
    // systemctl(1): a unit whose own file is where the mask would be cannot be masked.
    const how = "a mask or, for a unit file in /etc/systemd/system, a drop-in";
    lines.push(`disabled and prevented from starting, by ${how}: ${supervisor.units.join(", ")}`);
  }
  if (supervisor.kind === "containers")
    lines.push(`restart policy removed in ${supervisor.engine}: ${supervisor.containers.join(", ")}`);
  for (const { address, store } of databases.postgres) {
    const role = address.parameters["user"] ?? "of the server";
    lines.push(`the database role ${role} becomes read-only for ${describeStore(store)}`);
  }
  for (const path of databases.files)
    lines.push(`${path} becomes read-only, after SQLite has merged what the server left beside it`);
  return lines;
}
