import assert from "node:assert/strict";
import { chmodSync, chownSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { scriptsIn } from "../support/real-world.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, synlift, synliftWell } from "../support/synlift.ts";
import { TestAuthority } from "../support/test-authority.ts";

// Every way in which a Synapse connects to its PostgreSQL, used by a whole export.

const PASSWORD = "p@ss/w#r%d: 'it''s' \\ ünd $spaces ";
/** Peer authentication needs an account of this host; as root another one than root. */
const PEER = userInfo().uid === 0 ? "nobody" : userInfo().username;
const ACCESS = [
  "local all postgres trust",
  `local all ${PEER} peer`,
  "local all trusted trust",
  "local all guarded scram-sha-256",
  "hostssl all certified 127.0.0.1/32 cert",
  "hostssl all sealed 127.0.0.1/32 scram-sha-256",
  "host all guarded 127.0.0.1/32 scram-sha-256",
];
const ROLES = ["guarded", "trusted", "certified", "sealed", PEER];

const authority = new TestAuthority();
let cluster: PostgresCluster;
let work: string;

before(async () => {
  work = temporaryFolder("connections");
  chmodSync(work, 0o755);
  const server = authority.sign(["127.0.0.1", "localhost"]);
  const tls = {
    ssl_cert_file: written("server.pem", server.cert),
    ssl_key_file: written("server.key", server.key, "postgres"),
    ssl_ca_file: written("ca.pem", authority.pem),
  };
  cluster = await PostgresCluster.start({ access: ACCESS, settings: { ssl: "on", ...tls } });
  await makeMiniSynapse(cluster, "synapse");
  for (const role of ROLES) {
    await cluster.createRole(role, PASSWORD);
    await cluster.sql("postgres", `grant mover to "${role}"`);
  }
  await cluster.sql("postgres", "alter role guarded createdb");
});
after(() => cluster.stop());

/** A file that its owner alone may read, unless it is for everybody. */
function written(name: string, text: string, account?: string): string {
  const path = join(work, name);
  writeFileSync(path, text);
  chmodSync(path, name.endsWith(".pem") ? 0o644 : 0o600);
  if (account !== undefined && userInfo().uid === 0) {
    const [, , uid, gid] = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find((line) => line.startsWith(`${account}:`))!
      .split(":");
    chownSync(path, Number(uid), Number(gid));
  }
  return path;
}

type Args = Record<string, string | number>;
const tcp = (user: string): Args => ({ host: cluster.address.host, port: cluster.address.port, user });
const socket = (user: string): Args => ({ ...tcp(user), host: cluster.address.socketFolder });

let exports = 0;

/** Exports a homeserver with these database settings, and checks that the bundle holds what the database does. */
async function exported(args: Args, more: readonly string[] = [], env: Record<string, string> = {}) {
  const database = { name: "psycopg2", args: { dbname: "synapse", ...args, cp_min: 1 } } as const;
  const home = await makeSmallHomeserver({ database });
  const out = join(work, `bundle-${++exports}`);
  const ran = await synliftWell([...exportOf(home, out), ...more], { env });
  assert.ok(!`${ran.stdout}${ran.stderr}`.includes(PASSWORD));
  const verified = resultOf(
    await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`, "--json"]),
  );
  assert.deepEqual(
    verified.findings.filter(({ level }) => level !== "ok"),
    [],
  );
  return { home, out };
}

test("TCP with a password", async () => {
  await exported({ ...tcp("guarded"), password: PASSWORD });
});

test("TLS where the server proves its name, and with a certificate in place of a password", async () => {
  const sslrootcert = join(work, "ca.pem");
  const verified = { sslmode: "verify-full", sslrootcert };
  await exported({ ...tcp("sealed"), password: PASSWORD, ...verified });
  const { key, cert } = authority.sign(["certified"]);
  const own = { sslkey: written("client.key", key), sslcert: written("client.pem", cert) };
  await exported({ ...tcp("certified"), ...verified, ...own });
});

test("TLS to a server whose certificate nobody signed is refused before anything is written", async () => {
  const stranger = written("stranger.pem", new TestAuthority().pem);
  const args = { ...tcp("sealed"), dbname: "synapse", password: PASSWORD, sslmode: "verify-full" };
  const home = await makeHomeserverFolder({
    serverName: "example.org",
    database: { name: "psycopg2", args: { ...args, sslrootcert: stranger } },
  });
  const ran = await synlift(exportOf(home, join(work, "refused")));
  assert.match(ran.stderr, /certificate verify failed/);
  assert.equal(readdirSync(work).includes("refused"), false);
});

test("a unix socket, with and without a password", async () => {
  await exported({ ...socket("trusted") });
  await exported({ ...socket("guarded"), password: PASSWORD });
});

test("peer authentication, as the account that the database knows", async () => {
  await exported(socket(PEER));
});

test("a password file, and a service", async () => {
  const escaped = PASSWORD.replaceAll("\\", "\\\\").replaceAll(":", "\\:");
  const passfile = written("pgpass", `127.0.0.1:*:*:guarded:${escaped}\n`);
  await exported({ ...tcp("guarded"), passfile });
  const { host, port } = cluster.address;
  const service = `[move]\nhost=${host}\nport=${port}\nuser=guarded\n`;
  const PGSERVICEFILE = written("service.conf", service);
  await exported({ service: "move" }, [], { PGSERVICEFILE, PGPASSFILE: passfile });
});

test("programs that are only where a command leads, with a password that nobody else sees", async () => {
  const log = join(work, "commands.log");
  const { socketFolder, port } = cluster.address;
  const there = `/usr/bin/env -i PATH=${cluster.programs}:/usr/bin:/bin PGHOST=${socketFolder} PGPORT=${port}`;
  const enter = join(
    scriptsIn({ enter: `printf '%s\\n' "$@" "--" >> ${log}; shift 2; exec ${there} "$@"` }),
    "enter",
  );
  const PATH = withoutPostgres();
  const command = ["--database-command", `${enter} 'the database' -i`];
  const args = { user: "guarded", password: PASSWORD };
  // The exports before this one left it fenced, and a rollback keeps what was so before its export.
  await cluster.sql("postgres", 'alter role guarded in database "synapse" reset all');
  const { home, out } = await exported(args, command, { PATH });

  const plan = await synlift(
    ["plan", "--config", home.configFile, "--working-directory", home.dataFolder, ...command, "--json"],
    { env: { PATH } },
  );
  const found = resultOf(plan).findings;
  assert.equal(found.find(({ id }) => id === "pg-dump")?.level, "ok", plan.stdout);
  assert.equal(
    found.find(({ id }) => id === "duplicate-rows"),
    undefined,
  );

  const passwordFile = written("new.password", `${PASSWORD}\n`);
  const [configDir, opens] = [join(work, "new"), ["--passphrase-file", `${out}.passphrase`]];
  await synliftWell(
    [
      ...["restore", out, ...opens, "--database", "user=guarded dbname=new", ...command],
      ...[
        "--database-password-file",
        passwordFile,
        "--config-dir",
        configDir,
        "--media-dir",
        join(work, "media"),
      ],
    ],
    { env: { PATH } },
  );
  const open = ["open", "--config-dir", configDir, ...opens, "--dry-run", "--json"];
  const gates = resultOf(await synliftWell(open, { env: { PATH } })).findings;
  assert.equal(gates.find(({ id }) => id === "row-counts")?.level, "ok");

  // The fence was set through this command, and is lifted through it: the record of the fence has it.
  const fence = () =>
    cluster.sql(
      "postgres",
      "select count(*) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where rolname = 'guarded' and setconfig::text like '%read_only%'",
    );
  assert.equal(await fence(), "1");
  await synliftWell(["rollback", "--out", out, "--yes"], { env: { PATH } });
  assert.equal(await fence(), "0");

  const said = readFileSync(log, "utf8");
  assert.match(said, /pg_dump/);
  assert.ok(!said.includes(PASSWORD), "the password is in no command line");
});

/** Everything of this host but PostgreSQL's programs. */
function withoutPostgres(): string {
  const folder = temporaryFolder("path");
  for (const name of readdirSync("/usr/bin"))
    if (!/^(psql|pg_|postgres)/.test(name)) symlinkSync(join("/usr/bin", name), join(folder, name));
  return folder;
}
