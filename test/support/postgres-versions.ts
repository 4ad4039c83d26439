import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { debianMajor, PostgresCluster, serverMajors } from "./lab/postgres-cluster.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { makeMiniSynapse } from "./mini-synapse.ts";
import { exportOf, makeSmallHomeserver } from "./small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "./synlift.ts";

let work: string;
/** Debian's, whose client is the only one here. */
let debian: PostgresCluster;
let own: number;
let bundle: string;

async function oldServer(cluster: PostgresCluster, name: string) {
  const { parameters } = await makeMiniSynapse(cluster, name);
  // With something that is left out, and something that a quick look must understand in each version.
  await cluster.sql(
    name,
    "set role mover; create sequence more_seq; alter table rooms add constraint made_by foreign key (creator) references users (name)",
  );
  const args = { ...parameters, cp_min: 1 };
  return makeSmallHomeserver({ database: { name: "psycopg2", args } } as never);
}

function restore(from: string, into: PostgresCluster, name: string) {
  const { host, port } = into.address;
  return synlift([
    ...["restore", from, "--database", `host=${host} port=${port} user=mover dbname=${name}`],
    ...["--config-dir", join(work, `${name} config`), "--media-dir", join(work, `${name} media`)],
    ...["--passphrase-file", `${from}.passphrase`, "--json"],
  ]);
}

const locale = (cluster: PostgresCluster, name: string) =>
  cluster.sql(
    name,
    `select concat_ws(' ', datcollate, datctype, coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')) from pg_database d where datname = '${name}'`,
  );

async function mustBeRestored(cluster: PostgresCluster, name: string): Promise<void> {
  assert.equal(await cluster.sql(name, "select count(*) from events"), "500");
  assert.equal(await cluster.sql(name, "select count(*) from e2e_one_time_keys_json"), "0");
  assert.equal(await locale(cluster, name), "C C c");
}

/** The first, Debian's own, and the last: what happens depends on whether a server is older or newer than the one client. */
export const EDGES: readonly number[] = [
  ...new Set([serverMajors().at(0)!, debianMajor(), serverMajors().at(-1)!]),
];
export const BETWEEN: readonly number[] = serverMajors().filter((major) => !EDGES.includes(major));

/**
 * Small databases of these major versions of PostgreSQL, as source and as target, with Debian's one client: people move because
 * their server is old, and to one that is new.
 */
export function testPostgresVersions(majors: readonly number[]): void {
  before(async () => {
    work = temporaryFolder("versions");
    debian = await PostgresCluster.start();
    own = Math.floor(Number(await debian.sql("postgres", "show server_version_num")) / 10_000);
    bundle = join(work, "bundle");
    await synliftWell(exportOf(await oldServer(debian, "source"), bundle));
  });
  after(() => debian.stop());

  for (const major of majors)
    test(`PostgreSQL ${major} as source and as target works, or is refused in one sentence before anything stops`, async () => {
      const cluster = await PostgresCluster.start({ major });
      try {
        const out = join(work, `from ${major}`);
        const home = await oldServer(cluster, "old");
        const ran = await synlift(exportOf(home, out));
        if (major > own) {
          assert.equal(ran.code, 32, ran.stderr);
          assert.match(
            ran.stderr,
            new RegExp(`pg_dump ${own}\\.\\S+ is older than the database server, PostgreSQL ${major}\\.`),
          );
          assert.match(ran.stderr, new RegExp(`postgresql-client-${major}`));
          assert.equal(await cluster.sql("postgres", "select count(*) from pg_db_role_setting"), "0");
        } else {
          assert.equal(ran.code, 0, ran.stderr);
          const restored = await restore(out, debian, `from${major}`);
          assert.equal(restored.code, 0, restored.stderr);
          await mustBeRestored(debian, `from${major}`);
        }

        const into = await restore(bundle, cluster, `into${major}`);
        if (major < own) {
          assert.equal(into.code, 41, into.stderr);
          assert.match(into.stderr, new RegExp(`PostgreSQL ${major} is older than the source's ${own}`));
        } else {
          assert.equal(into.code, 0, into.stderr);
          await mustBeRestored(cluster, `into${major}`);
        }
      } finally {
        await cluster.stop();
      }
    });
}

/** What else a cluster can be, with `testPostgresVersions` in the same file. */
export function testOtherClusters(): void {
  test("the newest version is tried from the oldest client", async () => {
    const major = Math.max(...serverMajors());
    const cluster = await PostgresCluster.start({ major });
    try {
      await cluster.sql("postgres", "create role mover login createdb");
      const { host, port } = cluster.address;
      const tried = await synliftWell([
        ...exportOf(await oldServer(debian, "tried"), join(work, "tried")),
        ...["--dry-run", "--try-on", `host=${host} port=${port} user=mover dbname=postgres`],
      ]);
      const trial = resultOf(tried).findings.find(({ id }) => id === "schema-trial");
      assert.match(`${trial?.level} ${trial?.sentence}`, new RegExp(`^ok .*PostgreSQL ${major}\\.`));
    } finally {
      await cluster.stop();
    }
  });

  test("a cluster that sorts by ICU gets a database that does not", async () => {
    const cluster = await PostgresCluster.start({ icuLocale: "en-US" });
    try {
      await cluster.sql("postgres", "create role mover login createdb");
      const restored = await restore(bundle, cluster, "icu");
      assert.equal(restored.code, 0, restored.stderr);
      await mustBeRestored(cluster, "icu");
    } finally {
      await cluster.stop();
    }
  });
}
