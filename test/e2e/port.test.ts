import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type DatabaseSettings, postgresDatabase } from "../support/lab/homeserver-folder.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { synapsePython, type SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  makeSqliteServer,
  onDatabase,
  plant,
  PLANTED_FAULTS,
  PLANTED_SEQUENCES,
  readEverything,
  type SqliteServer,
  writeEverywhere,
} from "../support/ported.ts";
import { scenario } from "../support/scenario.ts";
import { eventsOf, resultOf, type RunOptions, synlift } from "../support/synlift.ts";

// A homeserver on SQLite arrives on PostgreSQL, with everything in it that synapse_port_db alone gets wrong.

const { step, check } = scenario();

let old: SqliteServer;
let cluster: PostgresCluster;
let database: DatabaseSettings;
let work: string;
let out: string;
let ported: SynapseServer | undefined;
let hashBefore: string;

before(async () => {
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  database = await postgresDatabase(cluster, "ported");
  old = await makeSqliteServer();
  work = temporaryFolder("port");
  out = join(work, "out");
});

after(async () => {
  await ported?.stop();
  await old.server.stop();
  await cluster.stop();
});

const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const tablesIn = () => cluster.sql("ported", "select tablename from pg_tables where schemaname = 'public'");
const FIXES = Object.keys(PLANTED_FAULTS).flatMap((name) => ["--fix", name]);

function port(args: readonly string[] = [], options: RunOptions & { folder?: string; out?: string } = {}) {
  const { host, port, user, password, dbname } = database.args;
  const passwordFile = join(work, "password");
  writeFileSync(passwordFile, `${String(password)}\n`, { mode: 0o600 });
  const to = `host=${host!} port=${port!} user=${user!} dbname=${dbname!}`;
  const all = [
    ...["port", ...old.config, "--to", to, "--to-password-file", passwordFile],
    ...["--out", options.out ?? out, "--json", ...args],
    ...(args.includes("--synapse") ? [] : ["--synapse", synapsePython()]),
  ];
  return synlift(all, options);
}

/** Of a process; empty when it ended meanwhile. */
function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** The process of the script that works in this test's folder. */
function scriptPid(): number | undefined {
  const pid = readdirSync("/proc").find((name) => {
    const [program = "", ...args] = /^\d+$/.test(name) ? argumentsOf(name) : [];
    const isScript = args.includes("synapse._scripts.synapse_port_db");
    return program !== "sh" && isScript && args.some((arg) => arg.startsWith(out));
  });
  return pid === undefined ? undefined : Number(pid);
}

step("a server that runs is not ported for good, and nothing is left behind", async () => {
  const ran = await port();
  assert.equal(ran.code, 14, ran.stderr);
  assert.equal(existsSync(out), false);
  assert.equal(await tablesIn(), "");
});

/** An environment of Synapse whose script fills a table and then says nothing any more. */
function hangingSynapse(): string {
  const environment = temporaryFolder("hanging");
  mkdirSync(join(environment, "bin"));
  symlinkSync(join(synapsePython(), "../../lib"), join(environment, "lib"));
  const fill = `import sys, yaml, psycopg2
args = yaml.safe_load(open(sys.argv[-1]))["database"]["args"]
connection = psycopg2.connect(**{name: args[name] for name in ("host", "port", "user", "dbname")})
connection.cursor().execute("create table events (n int); insert into events values (1)")
connection.commit()`;
  const script = `case "$1 $2" in
  "-m synapse._scripts.synapse_port_db") ${synapsePython()} -c '${fill}' "$@"; echo 'Copying to postgres...'; exec sleep ${HANGS} ;;
esac
exec ${synapsePython()} "$@"`;
  writeFileSync(join(environment, "bin/python"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return environment;
}
/** Seconds by which its process is recognised. */
const HANGS = `98765.${process.pid}`;

step("a script that hangs is ended when its time is over, and the database is empty again", async () => {
  const hangs = join(work, "hangs");
  const ran = await port(["--rehearse", "--silence", "0.05", "--synapse", hangingSynapse()], { out: hangs });
  assert.equal(ran.code, 47, ran.stderr);
  const error = eventsOf(ran).at(-1);
  assert.match(error?.message ?? "", /synapse_port_db said nothing for 3 s/);
  assert.match(error?.hint ?? "", /port\.log.*--silence/);
  assert.match(ran.stderr, /copying to postgres/);
  assert.equal(await tablesIn(), "");
  assert.match(readFileSync(join(hangs, "port.log"), "utf8"), /ended: synapse_port_db said nothing/);
  assert.equal(existsSync(join(hangs, "work")), false, "no copy is left in the clear");
  const sleeping = readdirSync("/proc").filter(
    (pid) => /^\d+$/.test(pid) && argumentsOf(pid).includes(HANGS),
  );
  assert.deepEqual(sleeping, []);
});

step(
  "each fault of the database is named with its own remedy, and without consent nothing is written",
  async () => {
    await old.server.stop();
    plant(old.path, PLANTED_SEQUENCES);
    plant(old.path, PLANTED_FAULTS);
    hashBefore = hashOf(old.path);
    for (const args of [["--dry-run"], []]) {
      const ran = await port(args);
      assert.equal(ran.code, 61, ran.stderr);
      const blockers = resultOf(ran).findings.filter(({ level }) => level === "blocker");
      assert.deepEqual(
        blockers.map(({ hint }) => /--fix ([\w-]+)/.exec(hint ?? "")?.[1]).sort(),
        Object.keys(PLANTED_FAULTS).sort(),
      );
      assert.equal(await tablesIn(), "");
    }
    assert.equal(existsSync(join(out, "work")), false, "no copy is left in the clear");
  },
);

step(
  "a script that is ended, and says with its exit status that all is well, is a failure, and the database is empty again",
  async () => {
    let ended = false;
    const watch = setInterval(() => {
      const pid = ended ? undefined : scriptPid();
      if (pid === undefined || !/checking on port progress/.test(heard)) return;
      ended = true;
      process.kill(pid, "SIGTERM");
    }, 5);
    let heard = "";
    const ran = await port(FIXES, { killWhen: (stderr) => ((heard = stderr), false) });
    clearInterval(watch);
    assert.equal(ended, true, ran.stderr);
    assert.equal(ran.code, 47, ran.stderr);
    assert.equal(await tablesIn(), "");
  },
);

step("a killed run leaves a database that has its mark, and that no other run takes for empty", async () => {
  const killed = await port(FIXES, { killWhen: (said) => said.includes("copying to postgres") });
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  assert.match(await tablesIn(), /^synlift_half_filled_/m);
  const elsewhere = await port(FIXES, { out: join(work, "elsewhere") });
  assert.equal(elsewhere.code, 40, elsewhere.stderr);
});

step("the next run starts over, mends all of it on a copy and says so", async () => {
  const ran = await port(FIXES);
  assert.equal(ran.code, 0, ran.stderr);
  const { findings, details } = resultOf(ran);
  assert.equal(details["result"], "ported");
  assert.ok(findings.every(({ level }) => level === "ok" || level === "note"));
  const evidence = findings.flatMap((one) => one.evidence ?? []).join("\n");
  for (const said of Object.keys(PLANTED_SEQUENCES))
    assert.ok(evidence.includes(said), `${said} in\n${evidence}`);
  for (const id of ["auto-vacuum", "nul-bytes", "orphans", "pending-updates", "unknown-tables"])
    assert.ok(
      findings.some((one) => one.id === `port-${id}-fixed`),
      id,
    );
  assert.equal(hashOf(old.path), hashBefore, "the file of the server was only read");
  assert.equal(existsSync(join(out, "work")), false, "no copy is left in the clear");
  assert.doesNotMatch(await tablesIn(), /port_from_sqlite3|synlift_/);
  assert.ok(existsSync(details["report"] as string));
  assert.notEqual(
    await cluster.sql("ported", "select count(*) from pg_stats where tablename = 'events'"),
    "0",
  );
});

check("a third run finds it done", async () => {
  const ran = await port(FIXES);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(resultOf(ran).details["result"], "already-ported");
});

check("no secret is in the log, the report, or the journal", () => {
  const { alice } = old.people;
  const secrets = [
    alice.session.accessToken,
    "syr_used",
    String(database.args["password"]),
    old.home.registrationSharedSecret,
  ];
  for (const name of ["port.log", "port.html", "port.json"]) {
    const text = readFileSync(join(out, name), "utf8");
    for (const secret of secrets) assert.ok(!text.includes(secret), `${name} has ${secret.slice(0, 4)}…`);
  }
});

check("rows with NUL characters and used refresh tokens are there, and the orphan is not", async () => {
  assert.equal(await cluster.sql("ported", "select count(*) from devices where display_name = 'a b'"), "1");
  assert.equal(
    await cluster.sql(
      "ported",
      "select id || '>' || coalesce(next_token_id::text, '') from refresh_tokens order by id",
    ),
    "1>2\n2>",
  );
});

step(
  "the server starts on PostgreSQL: old tokens read everything, and old devices still decrypt",
  async () => {
    ported = onDatabase(old, database);
    await ported.start();
    await readEverything(old, ported.baseUrl);
  },
);

check(
  "a message can be sent in every room, threads are subscribed to, and a to-device message arrives",
  async () => {
    await writeEverywhere(old, ported!.baseUrl);
  },
);

check("the user directory is built again", async () => {
  const carol = old.people.carol.at(ported!.baseUrl);
  for (;;) {
    const { results } = await carol.call<{ results: unknown[] }>(
      "POST",
      "/_matrix/client/v3/user_directory/search",
      { search_term: "alice" },
    );
    if (results.length > 0) return;
    await wait(200);
  }
});
