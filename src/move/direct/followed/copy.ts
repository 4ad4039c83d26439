import { MigrationError } from "../../../errors.ts";
import {
  promoteStandby,
  readStandby,
  standbyDatabase,
  waitForReplay,
} from "../../../homeserver/database/follow/standby.ts";
import type { Store } from "../../../homeserver/database/store.ts";
import type { PostgresAddress } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import type { FollowState } from "../../follow/state.ts";
import type { RestoreTarget } from "../../restore/run.ts";

/** One database that follows. */
export interface FollowingDatabase {
  readonly store: Exclude<Store, "mas">;
  /** Its name on the old host. */
  readonly oldName: string;
  /** As the new server will use it. */
  readonly target: PostgresAddress;
  /** The same as PostgreSQL's administrator, on this host. */
  readonly administrator: PostgresAddress;
}

/** A copy on this host that follows the old server, of either kind. */
export interface FollowingCopy {
  readonly databases: readonly FollowingDatabase[];
  /**
   * Whether it is a copy of the whole server: roles and what is set for them come along, and it counts nothing of what comes
   * with the log.
   */
  readonly ofWholeServer: boolean;
  /** Whether the rows of a table, such as "public.events", come along. */
  covers(table: string): boolean;
  /** False once it was promoted or detached: a server of its own. */
  follows(): Promise<boolean>;
  /** Resolves once everything up to this position is in it. */
  reach(position: string): Promise<void>;
  /** Holds it still while it is read; returns the undo. */
  pause(): Promise<() => Promise<void>>;
  /** Undoes what a killed run has paused. */
  resume(): Promise<void>;
  /** Makes it a server of its own. May be repeated. */
  detach(): Promise<void>;
}

/** Throws `bad-usage`, `target-unsuitable`. */
export function copyOf(
  { old, here }: FollowState,
  target: Pick<RestoreTarget, "database" | "stateDatabase" | "roles" | "layout" | "porting">,
  system: System,
): FollowingCopy {
  assertFits(target);
  if (here.kind !== "standby")
    throw new MigrationError("bad-usage", "a copy by logical replication cannot be cut over by this version");
  const { machine, postgres } = system;
  const at = (name: string) => standbyDatabase(here, name, machine);
  const asked = <T>(ask: (session: Awaited<ReturnType<typeof postgres.connect>>) => Promise<T>) =>
    postgres.connect(at("postgres")).then((session) => ask(session).finally(() => session.close()));
  const resume = () =>
    asked(async (session) => {
      const { paused } = await session.one<{ paused: boolean }>(
        "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused() AS paused",
      );
      if (paused) await session.run("SELECT pg_wal_replay_resume();");
    });
  const databases = [
    { store: "main" as const, given: target.database, oldName: old.database, option: "--database" },
    {
      store: "state" as const,
      given: target.stateDatabase,
      oldName: old.stateDatabase,
      option: "--state-database",
    },
  ].flatMap(({ store, given, oldName, option }) => {
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
    return [{ store, oldName, target: given.address, administrator: at(oldName) }];
  });
  return {
    databases,
    ofWholeServer: true,
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

function assertFits({ database, roles, layout, porting }: Parameters<typeof copyOf>[1]): void {
  const refused = layout.compose
    ? ["--layout compose", "it has a database of its own: choose another layout"]
    : database.engine !== "postgres"
      ? ["--database", "only PostgreSQL can follow"]
      : roles.length > 0
        ? ["--create-role", "the role comes with the database: leave it out"]
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
  { old }: Pick<FollowState, "old">,
  { postgres }: Pick<System, "postgres">,
): Promise<void> {
  for (const { target, administrator, oldName } of databases) {
    const [given, own] = [await postgres.connect(target), await postgres.connect(administrator)];
    try {
      const started = 'SELECT pg_postmaster_start_time()::text AS at, current_user::text AS "user"';
      const [there, here] = [
        await given.one<{ at: string; user: string }>(started),
        await own.one<{ at: string; user: string }>(started),
      ];
      if (there.at !== here.at)
        throw new MigrationError(
          "target-unsuitable",
          `the address of ${oldName} leads to another PostgreSQL than the copy that follows`,
          {
            hint: `the copy is on port ${administrator.parameters["port"] ?? ""}, socket in ${administrator.parameters["host"] ?? ""}`,
          },
        );
      if (ofWholeServer && old.synapseRole !== undefined && there.user !== old.synapseRole)
        throw new MigrationError(
          "target-unsuitable",
          `the old server uses its database as ${old.synapseRole}, and ${there.user} was given`,
          {
            hint: `roles come with the copy: give user=${old.synapseRole}, with the password that it has on the old host`,
          },
        );
    } finally {
      await given.close();
      await own.close();
    }
  }
}
