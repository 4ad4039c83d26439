import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import type { HomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse } from "../support/mini-synapse.ts";
import { postgres } from "../support/moved-database.ts";
import { scriptsIn } from "../support/real-world.ts";
import { exportOf, makeSmallHomeserver } from "../support/small-homeserver.ts";
import { resultOf, type RunOptions, synlift, synliftWell } from "../support/synlift.ts";

// Databases that other programs use too, and roles that become others. No role here is a superuser.

let cluster: PostgresCluster;
let work: string;

before(async () => {
  work = temporaryFolder("other-programs");
  cluster = await PostgresCluster.start();
  await makeMiniSynapse(cluster, "synapse");
  await cluster.createRole("reports", "x");
  await cluster.sql("synapse", "grant select, insert, update on all tables in schema public to reports");
});
after(() => cluster.stop());

/** A stopped homeserver whose database is this one, with these settings. */
function homeserver(args: Record<string, string>): Promise<HomeserverFolder> {
  const { host, port } = cluster.address;
  const database = {
    name: "psycopg2",
    args: { host, port, dbname: "synapse", user: "mover", cp_min: 1, ...args },
  };
  return makeSmallHomeserver({ database } as Parameters<typeof makeSmallHomeserver>[0]);
}

const settingsOf = (role: string) =>
  cluster.sql(
    "postgres",
    `select setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where rolname = '${role}' and setdatabase <> 0`,
  );

const writing = "update users set admin = 1 where name = '@user1:example.org'";
const statusOf = async (out: string) =>
  resultOf(await synlift(["status", "--out", out, "--json"])).findings.map(({ id }) => id);
const verified = (out: string) =>
  synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`, "--json"]);

test("the role that logs in is fenced, also where it becomes another one, and gets back what it had", async () => {
  for (const [role, becomes] of [
    ["app", 'alter role app in database synapse set role = "mover"'],
    ["bridge", 'alter role bridge set role = "mover"'],
    ["options", undefined],
  ] as const) {
    await cluster.createRole(role, "x");
    await cluster.sql("postgres", `grant mover to "${role}"; ${becomes ?? ""}`);
    const before = await settingsOf(role);
    const home = await homeserver({ user: role, ...(becomes ? {} : { options: "-c role=mover" }) });
    const out = join(work, role);
    await synliftWell(exportOf(home, out));
    assert.match(await settingsOf(role), /default_transaction_read_only=on/);
    assert.equal(await settingsOf("mover"), "");
    const old = addressIn(cluster, "synapse", role);
    const session = await postgres.connect(
      becomes ? old : { parameters: { ...old.parameters, options: "-c role=mover" } },
    );
    const { who } = await session.one<{ who: string }>("select current_user as who");
    assert.equal(who, "mover");
    await assert.rejects(session.run(`${writing};`), {
      reason: {
        kind: "sqlstate",
        code: "25006",
        message: "cannot execute UPDATE in a read-only transaction",
      },
    });
    await synliftWell(["rollback", "--out", out, "--yes"]);
    assert.equal(await settingsOf(role), before);
  }
});

test("a server that wants a session that can write, of several hosts, is fenced, packed and freed all the same", async () => {
  const { host, port } = cluster.address;
  const home = await homeserver({
    host: `${host},${host}`,
    port: `1,${port}`,
    target_session_attrs: "read-write",
  });
  const out = join(work, "available");
  await synliftWell(exportOf(home, out));
  assert.match(await settingsOf("mover"), /default_transaction_read_only=on/);
  await synliftWell(["rollback", "--out", out, "--yes"]);
  assert.equal(await settingsOf("mover"), "");
});

test("an earlier fence, which named the role that the login becomes, is undone", async () => {
  const home = await homeserver({ user: "app" });
  const out = join(work, "earlier");
  await synliftWell(exportOf(home, out));
  const record = join(out, "fence.json");
  execFileSync("sed", ["-i", "s/app in synapse/mover in synapse/", record]);
  await cluster.sql("postgres", "alter role app in database synapse reset default_transaction_read_only");
  await cluster.sql(
    "postgres",
    "alter role mover in database synapse set default_transaction_read_only = on",
  );
  await synliftWell(["rollback", "--out", out, "--yes"]);
  assert.equal(await settingsOf("mover"), "");
});

test("connection settings that override the fence are found before anything is changed", async () => {
  const home = await homeserver({ options: "-c default_transaction_read_only=off" });
  const out = join(work, "overridden");
  const ran = await synlift(exportOf(home, out));
  assert.equal(ran.code, 18, ran.stderr);
  assert.match(ran.stderr, /overrides the setting of the role: remove that from `options`/);
  assert.match(ran.stderr, /--accept fence-database/);
  assert.equal(await settingsOf("mover"), "");
});

test("another program's idle session is named and refused before the stop, and stays once it is accepted", async () => {
  const home = await homeserver({});
  const out = join(work, "idle");
  const other = await postgres.connect(addressIn(cluster, "synapse", "reports"));
  try {
    const ran = await synlift(exportOf(home, out));
    assert.equal(ran.code, 14, ran.stderr);
    assert.match(ran.stderr, /other programs are connected to the homeserver's database as reports/);
    assert.match(ran.stderr, /--accept database-connections:reports/);
    assert.equal(await settingsOf("mover"), "", "nothing is changed");

    const accepted = await synliftWell([...exportOf(home, out), "--accept", "database-connections:reports"]);
    const found = resultOf(accepted).findings.find(({ id }) => id === "database-connections:reports");
    assert.match(found!.sentence, /\(accepted\)$/);
  } finally {
    await other.close();
  }
  await synliftWell(["rollback", "--out", out, "--yes"]);
});

test("what an accepted session wrote after the dump is seen, although it stays connected", async () => {
  const home = await homeserver({});
  const out = join(work, "accepted-writer");
  const login = `${cluster.programs}/psql -h 127.0.0.1 -p ${cluster.address.port} -U reports -d synapse -X -q`;
  // It writes when the dump is made, and keeps its connection for longer than the export takes.
  const { env } = withDump(`(echo "${writing};"; sleep 40) | ${login} >/dev/null 2>&1 & `);
  const ran = await synlift([...exportOf(home, out), "--accept", "database-connections:reports"], { env });
  assert.equal(ran.code, 16, ran.stderr);
  await cluster.sql(
    "postgres",
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'reports'",
  );
  await synliftWell(["rollback", "--out", out, "--yes"]);
});

test("a program that writes between dump and seal is seen although nobody is connected then, and packed again", async () => {
  const home = await homeserver({});
  const out = join(work, "writer");
  const login = `${cluster.programs}/psql -h 127.0.0.1 -p ${cluster.address.port} -U reports -d synapse -X -q`;
  const { env } = withDump(`${login} -c "${writing}"`);
  const ran = await synlift(exportOf(home, out), { env });
  assert.equal(ran.code, 16, ran.stderr);
  assert.match(ran.stderr, /was written to during the export/);
  assert.match(ran.stderr, /another program writes to its database/);
  await synliftWell(exportOf(home, out));
  assert.ok(!(await statusOf(out)).includes("source-written-since"));
  await verified(out);
  await synliftWell(["rollback", "--out", out, "--yes"]);
});

test("an UPDATE after the dump is told by status, and the same export packs the database again", async () => {
  const home = await homeserver({});
  const out = join(work, "later");
  const at = () =>
    (JSON.parse(readFileSync(join(out, "journal.json"), "utf8")) as { steps: Record<string, { at: string }> })
      .steps["export/database"]!.at;
  await synliftWell(exportOf(home, out));
  const first = at();
  await synliftWell(exportOf(home, out));
  assert.equal(at(), first, "nothing was written: nothing is packed again");
  await cluster.sql("synapse", "update users set admin = 1 where name = '@user2:example.org'");
  assert.ok((await statusOf(out)).includes("source-written-since"));
  await synliftWell(exportOf(home, out));
  assert.notEqual(at(), first);
  assert.ok(!(await statusOf(out)).includes("source-written-since"));
  await synliftWell(["rollback", "--out", out, "--yes"]);
});

/** A PATH whose pg_dump does this as soon as it has dumped. */
function withDump(then: string): Required<Pick<RunOptions, "env">> {
  const real = join(cluster.programs, "pg_dump");
  const scripts = scriptsIn({
    pg_dump: `case "$*" in *--snapshot=*) ;; *) exec ${real} "$@" ;; esac\n${real} "$@" || exit\n${then}\nexit 0`,
  });
  return { env: { PATH: [scripts, cluster.programs, process.env["PATH"]].join(delimiter) } };
}
