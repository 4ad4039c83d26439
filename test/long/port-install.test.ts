import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makePackageIndex, type PackageIndex } from "../support/package-index.ts";
import { makeSqliteServer, type SqliteServer } from "../support/ported.ts";
import { eventsOf, type Ran, resultOf, synlift } from "../support/synlift.ts";

// A host whose Synapse cannot be run, as it is in a container or was removed: pip brings it, from an index that is files.

const VERSION = "1.163.2";
const DRIVER = "psycopg2-binary==2.9.10";
/** Debian's Python, without a Synapse. */
const PATH = "/usr/bin:/bin";

let old: SqliteServer;
let cluster: PostgresCluster;
let work: string;

before(async () => {
  cluster = await PostgresCluster.start();
  old = await makeSqliteServer();
  await old.server.stop();
  work = temporaryFolder("port-install");
  await cluster.createDatabase("target");
});
after(() => cluster.stop());

function port({ env }: Pick<PackageIndex, "env">, ...more: readonly string[]): Promise<Ran> {
  const { host, port, superuser } = cluster.address;
  const args = [
    ...["port", ...old.config, "--to", `host=${host} port=${port} user=${superuser} dbname=target`],
    ...["--out", join(work, "out"), "--synapse-version", VERSION, "--json", ...more],
  ];
  return synlift(args, { env: { ...env, PATH: [cluster.programs, PATH].join(":") } });
}

const made = () => join(work, "out", `synapse-${VERSION}`);

test("a version that the index lacks is an error, and what was begun does not pass for it later", async () => {
  const failed = await port(makePackageIndex([DRIVER]), "--install-synapse");
  assert.equal(failed.code, 31, failed.stderr);
  const error = eventsOf(failed).at(-1);
  assert.match(error?.message ?? "", new RegExp(`Synapse ${VERSION} could not be installed`));
  assert.match(error?.hint ?? "", /--synapse FOLDER/);
  assert.ok(existsSync(made()));
  const again = await port(makePackageIndex([DRIVER]));
  assert.equal(again.code, 31, again.stderr);
  assert.match(eventsOf(again).at(-1)?.hint ?? "", /--install-synapse/);
});

test("the source's own version is installed into an environment of its own, and ports the database", async () => {
  const ran = await port(makePackageIndex([`matrix-synapse==${VERSION}`, DRIVER]), "--install-synapse");
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(resultOf(ran).details["result"], "ported");
  const { version } = { version: "from importlib.metadata import version; print(version('matrix-synapse'))" };
  const said = execFileSync(join(made(), "bin/python"), ["-c", version], { encoding: "utf8" });
  assert.equal(said.trim(), VERSION);
  assert.equal(statSync(join(work, "out")).mode & 0o777, 0o700);
  for (const path of [made(), join(made(), "bin"), join(made(), "lib"), join(made(), "pyvenv.cfg")])
    assert.equal(statSync(path).mode & 0o004, 0o004, `${path} can be read by the account that runs it`);
});

test("the next run uses it again, without the index and without the option", async () => {
  await cluster.createDatabase("second");
  const { host, port: at, superuser } = cluster.address;
  const args = [
    ...["port", ...old.config, "--to", `host=${host} port=${at} user=${superuser} dbname=second`],
    ...["--out", join(work, "out"), "--synapse-version", VERSION, "--json"],
  ];
  const env = { ...makePackageIndex([]).env, PATH: [cluster.programs, PATH].join(":") };
  const ran = await synlift(args, { env });
  assert.equal(ran.code, 0, ran.stderr);
});
