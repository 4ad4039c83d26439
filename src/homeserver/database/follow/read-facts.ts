import { join } from "node:path";
import { tryRead } from "../../../errors.ts";
import {
  isLocalSocket,
  type PostgresAddress,
  type PostgresSession,
} from "../../../system/postgres/postgres.ts";
import { quoteLiteral } from "../../../system/query.ts";
import type { System } from "../../../system/system.ts";
import type { Administrator } from "./administrator.ts";
import type { Access, HbaRule, Place, SourceFacts } from "./facts.ts";
import { type Connecting, ruleFor, takesPassword } from "./hba.ts";
import { FOLLOW_ROLE } from "./record.ts";
import { unitOfPostgres } from "./restart.ts";

/** The databases of the homeserver that are in the same PostgreSQL as its own. */
export interface FollowedDatabases {
  readonly main: PostgresAddress;
  readonly state: PostgresAddress | undefined;
  readonly mas: PostgresAddress | undefined;
}

/** The settings that decide, or that follow changes. */
const SETTINGS = [
  ...["wal_level", "max_wal_senders", "max_replication_slots", "max_slot_wal_keep_size", "wal_keep_size"],
  ...["wal_keep_segments", "wal_segment_size", "max_connections", "max_worker_processes"],
  ...["max_prepared_transactions", "max_locks_per_transaction", "data_checksums", "listen_addresses", "port"],
  ...[
    "unix_socket_directories",
    "data_directory",
    "hba_file",
    "allow_alter_system",
    "synchronous_standby_names",
  ],
];

/** Those that follow may write to postgresql.auto.conf. */
const CHANGED = ["wal_level", "max_slot_wal_keep_size", "wal_keep_segments"];

/**
 * Reads everything that decides whether, and how, a copy can follow this PostgreSQL. Reads only. The administrator need not
 * be a superuser: then less is known, and the facts say so. Throws `database-unreachable`, `program-failed`.
 */
export async function readSourceFacts(
  { main, state, mas }: FollowedDatabases,
  { address }: Administrator,
  system: Pick<System, "postgres" | "files" | "machine" | "programs">,
): Promise<SourceFacts> {
  const session = await system.postgres.connect(address);
  try {
    const general = await session.one<General>(`
      SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS "versionText",
        version() AS built, (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier",
        pg_is_in_recovery() AS recovering, current_database()::text AS database,
        rolname::text AS name, rolsuper AS "isSuperuser"
      FROM pg_roles WHERE rolname = current_user`);
    const { isSuperuser } = general;
    const settings = Object.fromEntries(
      (
        await session.all<{ name: string; value: string; source: string }>(
          `SELECT name, setting AS value, source FROM pg_settings WHERE name IN (${SETTINGS.map(quoteLiteral).join(", ")})`,
        )
      ).map(({ name, value, source }) => [name, { value, source }]),
    );
    const files = isSuperuser ? await readFiles(session) : { autoConf: {}, rules: [] };
    const server = { settings, rules: files.rules, isSuperuser };
    const isHere = isLocalSocket(address) || isLoopback(address);
    const own = await ownDatabases({ main, state, mas }, general, system);
    const disk = await diskOfLog(settings["data_directory"]?.value, { isHere, address }, system);
    const unit = isSuperuser ? await unitOfPostgres({ settings, disk }, system) : undefined;
    return {
      version: general.version,
      versionText: general.versionText,
      architecture: architectureIn(general.built),
      systemIdentifier: general.systemIdentifier,
      recovering: general.recovering,
      administrator: { name: general.name, isSuperuser },
      settings,
      autoConf: files.autoConf,
      ...(isSuperuser ? { nextStart: { ...(await readNextStart(session)), unit: unit ?? null } } : {}),
      slots: await readSlots(session, general.recovering),
      walSenders: (
        await session.one<{ count: number }>(
          "SELECT count(*)::int AS count FROM pg_stat_activity WHERE backend_type = 'walsender'",
        )
      ).count,
      disk,
      databases: await session.all(`
        SELECT datname::text AS name, pg_database_size(oid)::float8 AS bytes, datcollate::text AS collate, datctype::text AS ctype,
          coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider, to_jsonb(d) ->> 'datcollversion' AS "collationVersion"
        FROM pg_database d WHERE NOT datistemplate AND datallowconn ORDER BY 2 DESC, 1`),
      tablespaces: await session.all(`
        SELECT spcname::text AS name, pg_tablespace_location(oid) AS folder FROM pg_tablespace
        WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1`),
      ...own,
      ...(await synapseFacts(main, system)),
      hbaFile: settings["hba_file"]?.value ?? "pg_hba.conf",
      access: await accessOf(main, { own, isHere, ...server }, system),
      role: await readRole(session),
    };
  } finally {
    await session.close();
  }
}

interface General {
  readonly version: number;
  readonly versionText: string;
  /** As version() says it. */
  readonly built: string;
  readonly systemIdentifier: string;
  readonly recovering: boolean;
  readonly database: string;
  readonly name: string;
  readonly isSuperuser: boolean;
}

/** "PostgreSQL 15.18 (Debian …) on x86_64-pc-linux-gnu, compiled by …", in no other language; as `uname -m` has it. */
function architectureIn(built: string): string | null {
  const found = / on ([a-z0-9_]+)-/.exec(built)?.[1];
  return found === undefined ? null : found.replace(/^powerpc/, "ppc").replace(/^arm$/, "armv7l");
}

const isLoopback = ({ parameters: { host, hostaddr }, commandPrefix }: PostgresAddress) =>
  commandPrefix === undefined && ["localhost", "127.0.0.1", "::1"].includes(hostaddr ?? host ?? "");

/** What only a superuser may read: the settings of postgresql.auto.conf, and pg_hba.conf. */
async function readFiles(
  session: PostgresSession,
): Promise<{ autoConf: Record<string, string>; rules: HbaRule[] }> {
  const lines = await session.all<{ name: string; value: string }>(`
    SELECT name, setting AS value FROM pg_file_settings
    WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf'
      AND name IN (${CHANGED.map(quoteLiteral).join(", ")}) ORDER BY seqno`);
  const rules = await session.all<HbaRule>(`
    SELECT line_number AS line, type, database AS databases, user_name AS users, address, netmask, auth_method AS method
    FROM pg_hba_file_rules WHERE error IS NULL
    ORDER BY coalesce((to_jsonb(pg_hba_file_rules) ->> 'rule_number')::int, line_number)`);
  // Where a name is there twice, the last one counts.
  return { autoConf: Object.fromEntries(lines.map(({ name, value }) => [name, value])), rules };
}

/** What its configuration files say for a start from now on. Needs a superuser. */
async function readNextStart(
  session: PostgresSession,
): Promise<Omit<NonNullable<SourceFacts["nextStart"]>, "unit">> {
  // Of several lines the last one counts; a setting that needs a restart cannot be applied now, which is no error of the file. Nor is
  // one that was taken out of it, which has no line.
  const { walLevel, pending, unreadable } = await session.one<{
    walLevel: string;
    pending: string[] | null;
    unreadable: string[] | null;
  }>(`
    WITH last AS (
      SELECT DISTINCT ON (f.name) f.name, f.setting, f.applied, s.context
      FROM pg_file_settings f JOIN pg_settings s ON lower(s.name) = lower(f.name)
      WHERE s.source <> 'command line' ORDER BY f.name, f.seqno DESC
    )
    SELECT CASE WHEN s.source = 'command line' THEN s.setting
        ELSE lower(coalesce((SELECT setting FROM last WHERE name = 'wal_level'), s.boot_val)) END AS "walLevel",
      (SELECT json_agg(name ORDER BY name) FROM (
        SELECT name FROM last WHERE context = 'postmaster' AND NOT applied
        UNION SELECT name FROM pg_settings WHERE pending_restart AND source <> 'command line') p) AS pending,
      (SELECT json_agg(sourcefile || ':' || coalesce(sourceline::text, '') ORDER BY seqno) FROM pg_file_settings f
        WHERE f.error IS NOT NULL AND f.sourcefile IS NOT NULL AND NOT EXISTS (
          SELECT FROM pg_settings s WHERE lower(s.name) = lower(f.name) AND s.context = 'postmaster')) AS unreadable
    FROM pg_settings s WHERE s.name = 'wal_level'`);
  return { walLevel, pending: pending ?? [], unreadable: unreadable ?? [] };
}

const readSlots = (session: PostgresSession, recovering: boolean) =>
  session.all<SourceFacts["slots"][number]>(`
    SELECT slot_name::text AS name, active,
      pg_wal_lsn_diff(${recovering ? "pg_last_wal_replay_lsn()" : "pg_current_wal_lsn()"}, restart_lsn)::float8 AS retained
    FROM pg_replication_slots ORDER BY 1`);

async function readRole(session: PostgresSession): Promise<SourceFacts["role"]> {
  const [role] = await session.all<{ comment: string | null }>(
    `SELECT shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = ${quoteLiteral(FOLLOW_ROLE)}`,
  );
  return role ?? null;
}

/** Both folders may be links to another disk. Where PostgreSQL is reached through a command, that command asks. */
async function diskOfLog(
  data: string | undefined,
  { isHere, address: { commandPrefix } }: { isHere: boolean; address: PostgresAddress },
  { files, programs }: Pick<System, "files" | "programs">,
): Promise<SourceFacts["disk"]> {
  if (data === undefined) return null;
  const folder = join(data, "pg_wal");
  if (commandPrefix) {
    const [name, ...before] = commandPrefix;
    const call = { name: name!, args: [...before, "df", "-Pk", folder], timeout: 30_000 };
    const free = freeIn((await tryRead(() => programs.run(call))) ?? "");
    return free === undefined ? null : { free, folder };
  }
  if (!isHere || !(await tryRead(() => files.stat(folder)))) return null;
  const { free } = await files.diskSpace(folder);
  return { free, folder };
}

/** Bytes that df(1) says are available, in its POSIX form. */
function freeIn(said: string): number | undefined {
  const available = said.trim().split("\n").at(-1)?.trim().split(/\s+/)[3] ?? "";
  return /^\d+$/.test(available) ? Number(available) * 1024 : undefined;
}

/** As the homeserver's own role: the administrator need not be a superuser. */
async function synapseFacts(
  main: PostgresAddress,
  { postgres }: Pick<System, "postgres">,
): Promise<Pick<SourceFacts, "schemaVersion" | "backgroundUpdates">> {
  const session = await postgres.connect(main);
  try {
    const there = await session.one<{ version: boolean; updates: boolean }>(
      `SELECT to_regclass('schema_version') IS NOT NULL AS version, to_regclass('background_updates') IS NOT NULL AS updates`,
    );
    const { version } = there.version
      ? await session.one<{ version: number | null }>(
          "SELECT (SELECT version FROM schema_version) AS version",
        )
      : { version: null };
    const { count } = there.updates
      ? await session.one<{ count: number }>("SELECT count(*)::int AS count FROM background_updates")
      : { count: 0 };
    return { schemaVersion: version, backgroundUpdates: count };
  } finally {
    await session.close();
  }
}

/** A database of another server does not come along. */
async function ownDatabases(
  { state, mas }: FollowedDatabases,
  { systemIdentifier, database }: General,
  { postgres }: Pick<System, "postgres">,
): Promise<Pick<SourceFacts, "database" | "stateDatabase" | "masDatabase" | "elsewhere">> {
  const nameHere = async (address: PostgresAddress | undefined) => {
    if (address === undefined) return null;
    const session = await postgres.connect(address);
    try {
      const found = await session.one<{ name: string; identifier: string }>(
        "SELECT current_database()::text AS name, system_identifier::text AS identifier FROM pg_control_system()",
      );
      return found.identifier === systemIdentifier ? found.name : null;
    } finally {
      await session.close();
    }
  };
  const [stateDatabase, masDatabase] = [await nameHere(state), await nameHere(mas)];
  const elsewhere = [
    ...(state && stateDatabase === null ? ["the database of the state groups"] : []),
    ...(mas && masDatabase === null ? ["the database of the authentication service"] : []),
  ];
  return { database, stateDatabase, masDatabase, elsewhere };
}

interface Server {
  readonly own: Pick<SourceFacts, "database" | "stateDatabase" | "masDatabase">;
  readonly isHere: boolean;
  readonly settings: SourceFacts["settings"];
  readonly rules: readonly HbaRule[];
  readonly isSuperuser: boolean;
}

/** Every place at which this host reaches PostgreSQL, with what pg_hba.conf says about the role there; the best first. */
async function accessOf(
  main: PostgresAddress,
  { own, isHere, settings, rules, isSuperuser }: Server,
  { postgres }: Pick<System, "postgres" | "machine">,
): Promise<Access[]> {
  const port = Number(settings["port"]?.value ?? 5432);
  const places: Connecting[] = isHere
    ? [
        ...loopbackAddresses(settings["listen_addresses"]?.value ?? "").map((host) => ({
          place: { host, port },
          client: host,
        })),
        ...socketFolders(settings["unix_socket_directories"]?.value ?? "").map((host) => ({
          place: { host, port },
          client: null,
        })),
      ]
    : [];
  const { host, hostaddr, port: named = "5432" } = main.parameters;
  const remote = hostaddr ?? host;
  if (remote !== undefined && !isLocalSocket(main) && !main.commandPrefix) {
    const place: Place = { host: remote, port: Number(named) };
    if (!places.some((one) => one.place.host === place.host && one.place.port === place.port))
      places.push({ place, client: await clientAddress(main, postgres) });
  }
  const names = [own.database, own.stateDatabase, own.masDatabase].flatMap((name) => name ?? []);
  const found = places.map((one): Access => {
    const all = names.map((database) => ruleFor(rules, one, { database }));
    const refused = all.find((rule) => !takesPassword(rule));
    return {
      place: one.place,
      client: one.client,
      replication: ruleFor(rules, one, { replication: true }) ?? null,
      databases: (all.every(takesPassword) ? all[0] : refused) ?? null,
    };
  });
  if (!isSuperuser) return found.slice(0, 1);
  const value = ({ replication, databases }: Access) =>
    Number(takesPassword(databases)) * 2 + Number(takesPassword(replication));
  return found.toSorted((one, other) => value(other) - value(one));
}

/** How PostgreSQL sees a connection from this host, which a container's network may change. */
async function clientAddress(main: PostgresAddress, postgres: System["postgres"]): Promise<string | null> {
  const session = await postgres.connect(main);
  try {
    const { client } = await session.one<{ client: string | null }>(
      "SELECT host(inet_client_addr()) AS client",
    );
    return client;
  } finally {
    await session.close();
  }
}

function loopbackAddresses(listening: string): string[] {
  const names = listening.split(",").map((name) => name.trim());
  const isAny = names.includes("*");
  const has4 = isAny || ["localhost", "127.0.0.1", "0.0.0.0"].some((name) => names.includes(name));
  const has6 = names.includes("::1") || names.includes("::");
  return [...(has4 ? ["127.0.0.1"] : []), ...(has6 ? ["::1"] : [])];
}

/** An abstract one begins with "@": OpenSSH does not forward to it. */
const socketFolders = (folders: string) =>
  folders
    .split(",")
    .map((folder) => folder.trim())
    .filter((folder) => folder.startsWith("/"));
