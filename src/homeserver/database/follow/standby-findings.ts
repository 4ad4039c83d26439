import type { Finding } from "../../../report/finding.ts";
import type { PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import { quoteLiteral } from "../../../system/query.ts";
import type { System } from "../../../system/system.ts";
import { type StandbyServer, standbyDatabase } from "./standby.ts";

/** Settings that people tune, by which the new server would be slower or larger than the old one. */
const TUNED = [
  "shared_buffers",
  "effective_cache_size",
  "work_mem",
  "maintenance_work_mem",
  "max_wal_size",
  "checkpoint_timeout",
  "checkpoint_completion_target",
  "random_page_cost",
  "effective_io_concurrency",
  "autovacuum_max_workers",
  "autovacuum_vacuum_scale_factor",
  "shared_preload_libraries",
];

/**
 * What shows itself only on a running standby: databases whose indexes on text sort otherwise here, Synapse's way to log in, and settings
 * of the old server that this one does not have. Reads only.
 */
export async function standbyFindings(
  server: StandbyServer,
  old: PostgresAddress,
  synapseRoles: readonly string[],
  { postgres, machine }: Pick<System, "postgres" | "machine">,
): Promise<Finding[]> {
  const here = await postgres.connect(standbyDatabase(server, "postgres", machine));
  try {
    const there = await postgres.connect(old);
    try {
      return [
        ...(await collationFindings(here)),
        ...(await loginFindings(synapseRoles, here)),
        ...(await tuningFindings(server, here, there)),
      ];
    } finally {
      await there.close();
    }
  } finally {
    await here.close();
  }
}

/** Column `datcollversion` is 15's; before, nobody has written down which version the indexes were made with. */
async function collationFindings(here: PostgresSession): Promise<Finding[]> {
  const { version } = await here.one<{ version: number }>(
    `SELECT current_setting('server_version_num')::int AS version`,
  );
  if (version < 150_000) return [];
  const other = await here.all<{ name: string; was: string; is: string }>(`
    SELECT datname AS name, datcollversion AS was, pg_database_collation_actual_version(oid) AS is
    FROM pg_database
    WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
    ORDER BY 1`);
  if (other.length === 0) return [];
  return [
    {
      id: "follow-collation-version",
      level: "warning",
      sentence: `on this host texts sort otherwise than on the old one in ${other.length === 1 ? "a database" : "databases"} that ${other.length === 1 ? "comes" : "come"} along: indexes on text may not find what is there`,
      evidence: other.map(({ name, was, is }) => `${name}: made with version ${was}, here ${is}`),
      hint: `after the cut-over, before they are used: ${other
        .map(({ name }) => `REINDEX DATABASE "${name}"; ALTER DATABASE "${name}" REFRESH COLLATION VERSION;`)
        .join(" ")}`,
    },
  ];
}

async function loginFindings(roles: readonly string[], here: PostgresSession): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const role of roles) found.push(...(await loginFindingsOf(role, here)));
  return found;
}

/** Of the password only its form is read. */
async function loginFindingsOf(role: string, here: PostgresSession): Promise<Finding[]> {
  const [found] = await here.all<{ form: string | null; canLogin: boolean }>(`
    SELECT CASE WHEN rolpassword LIKE 'md5%' THEN 'md5' WHEN rolpassword IS NULL THEN NULL ELSE 'scram' END AS form,
      rolcanlogin AS "canLogin"
    FROM pg_authid WHERE rolname = ${quoteLiteral(role)}`);
  if (found?.form === "md5")
    return [
      {
        id: "follow-password-md5",
        level: "note",
        sentence: `the password of Synapse's role ${role} is kept as MD5, which the new server accepts from this role only because synlift has written that into its pg_hba.conf`,
        hint: `once the new server is open, set it again with ALTER ROLE: it is then kept as SCRAM, and later versions of PostgreSQL take nothing else`,
      },
    ];
  if (found?.form === null)
    return [
      {
        id: "follow-no-password",
        level: "warning",
        sentence: `Synapse's role ${role} has no password: on the old host it logs in as an account of that host, or without one`,
        hint: "for the cut-over, name how Synapse will log in here: --database, with --database-password-file for a password that it is given then",
      },
    ];
  return [];
}

async function tuningFindings(
  server: StandbyServer,
  here: PostgresSession,
  there: PostgresSession,
): Promise<Finding[]> {
  const sql = `SELECT name, current_setting(name) AS value FROM pg_settings WHERE name IN (${TUNED.map(quoteLiteral).join(", ")}) ORDER BY name`;
  const [mine, theirs] = [
    await here.all<{ name: string; value: string }>(sql),
    await there.all<{ name: string; value: string }>(sql),
  ];
  const evidence = theirs.flatMap(({ name, value }) => {
    const own = mine.find((one) => one.name === name)?.value ?? "";
    return own === value ? [] : [`${name}: ${value} on the old server, ${own || "(nothing)"} here`];
  });
  if (evidence.length === 0) return [];
  const where = server.cluster
    ? `/etc/postgresql/${server.cluster.major}/${server.cluster.name}/postgresql.conf`
    : `${server.data}/postgresql.conf`;
  return [
    {
      id: "follow-settings-differ",
      level: "note",
      sentence:
        "the old server is tuned otherwise than this one: its configuration files are not part of a copy",
      evidence,
      hint: `choose what fits this host, in ${where}, before people use the new server`,
    },
  ];
}
