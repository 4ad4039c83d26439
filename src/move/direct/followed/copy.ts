import { MigrationError, reasonOf, tryRead } from "../../../errors.ts";
import {
  promoteStandby,
  readStandby,
  resumeReplay,
  standbyDatabase,
  waitForReplay,
} from "../../../homeserver/database/follow/standby.ts";
import type { PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import { type FollowState, readFollowState } from "../../follow/state.ts";
import type { FollowingCopy } from "./following-copy.ts";
import { logicalCopy } from "./logical-copy.ts";
import type { RestoreTarget } from "../../restore/run.ts";

/** Throws `bad-usage`, `target-unsuitable`. */
export async function copyOf(
  state: FollowState,
  target: Pick<RestoreTarget, "database" | "stateDatabase" | "roles" | "layout" | "porting">,
  system: System,
): Promise<FollowingCopy> {
  const { old, here } = state;
  assertFits(target);
  if (here.kind === "logical") return logicalCopy(state, here, target, target.layout.configDir, system);
  const { machine, postgres } = system;
  const at = (name: string) => standbyDatabase(here, name, machine);
  const asked = <T>(ask: (session: Awaited<ReturnType<typeof postgres.connect>>) => Promise<T>) =>
    postgres.connect(at("postgres")).then((session) => ask(session).finally(() => session.close()));
  const resume = () => resumeReplay(here, system);
  if (old.stateDatabase !== undefined && !target.stateDatabase)
    throw new MigrationError(
      "bad-usage",
      `--state-database: must be given, too: state groups have a database of their own, ${old.stateDatabase}, which has come along`,
      { hint: `name it as --database, with dbname=${old.stateDatabase}, on port ${here.port}` },
    );
  const databases = [
    {
      store: "main" as const,
      given: target.database,
      oldName: old.database,
      owner: old.synapseRole,
      option: "--database",
    },
    {
      store: "state" as const,
      given: target.stateDatabase,
      oldName: old.stateDatabase,
      owner: old.stateRole ?? old.synapseRole,
      option: "--state-database",
    },
  ].flatMap(({ store, given, oldName, owner, option }) => {
    if (given?.engine !== "postgres" || oldName === undefined) return [];
    const { dbname } = given.address.parameters;
    if (dbname !== oldName)
      throw new MigrationError(
        "bad-usage",
        `${option}: the copy's database is called ${oldName}, as on the old host, not ${dbname ?? ""}`,
        {
          hint: `name it with dbname=${oldName}, on port ${here.port}`,
        },
      );
    return [{ store, oldName, target: given.address, administrator: at(oldName), owner }];
  });
  return {
    ofWholeServer: true,
    databases,
    covers: () => true,
    follows: () => asked(async (session) => (await readStandby(session)).inRecovery),
    reach: (position) => waitForReplay(here, position, system),
    async pause() {
      // Otherwise what the old server cleans up would end long questions here (PostgreSQL documentation, Handling Query Conflicts).
      await asked((session) => session.run("SELECT pg_wal_replay_pause();"));
      return resume;
    },
    resume,
    detach: () => promoteStandby(here, system),
  };
}

/** What logs in to the address of the copy; where that fails, the hint names the copy's port, which is seldom PostgreSQL's usual one. */
export async function sayingWhereCopyIs<T>(
  configDir: string,
  system: Pick<System, "files" | "machine">,
  logIn: () => Promise<T>,
): Promise<T> {
  try {
    return await logIn();
  } catch (error) {
    const here = (await tryRead(() => readFollowState(configDir, system)))?.here;
    if (!(error instanceof MigrationError) || !reasonOf(error, "no-connection") || here?.kind !== "standby")
      throw error;
    const { code, message, hint = "", reason } = error;
    throw new MigrationError(code, message, {
      hint: `the copy that follows is on port ${here.port} of this host, and its users have the passwords of the old one; otherwise: ${hint}`,
      reason,
      cause: error,
    });
  }
}

function assertFits({ database, roles, layout, porting }: Parameters<typeof copyOf>[1]): void {
  const refused = layout.compose
    ? ["--layout compose", "it has a database of its own: choose another layout"]
    : database.engine !== "postgres"
      ? ["--database", "only PostgreSQL can follow"]
      : roles.length > 0
        ? ["--create-role", "the role is there with the copy: leave it out"]
        : porting
          ? ["--port", "only PostgreSQL can follow: leave it out"]
          : undefined;
  if (refused) throw new MigrationError("bad-usage", `--followed and ${refused[0]!}: ${refused[1]!}`);
}

/**
 * Checks that the addresses which the new server will use lead to the copy, with a password that is right: a standby takes reading
 * connections. Throws `target-unsuitable`, `database-unreachable`.
 */
export async function assertLeadsToCopy(
  { databases, ofWholeServer }: FollowingCopy,
  { postgres }: Pick<System, "postgres">,
): Promise<void> {
  for (const { target, administrator, oldName, owner } of databases) {
    const [there, here] = [await marksOf(target, postgres), await marksOf(administrator, postgres)];
    if (there.at !== here.at)
      throw new MigrationError(
        "target-unsuitable",
        `the address of ${oldName} leads to another PostgreSQL than the copy that follows`,
        {
          hint: `the copy is on port ${administrator.parameters["port"] ?? ""}, socket in ${administrator.parameters["host"] ?? ""}`,
        },
      );
    if (owner !== undefined && there.user !== owner)
      throw new MigrationError(
        "target-unsuitable",
        ofWholeServer
          ? `the old server uses its database as ${owner}, and ${there.user} was given`
          : `the copy was made for the user ${owner}, and ${there.user} was given`,
        {
          hint: ofWholeServer
            ? `roles come with the copy: give user=${owner}, with the password that it has on the old host`
            : `give user=${owner}, with its password file, as with synlift follow`,
        },
      );
  }
}

/** Which server and which database answers there, and as whom. */
async function marksOf(
  address: PostgresAddress,
  postgres: System["postgres"],
): Promise<{ at: string; user: string }> {
  const session = await postgres.connect(address);
  return session
    .one<{ at: string; user: string }>(
      'SELECT pg_postmaster_start_time()::text || current_database() AS at, current_user::text AS "user"',
    )
    .finally(() => session.close());
}
