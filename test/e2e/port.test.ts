import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { readWithOldDevice } from "../support/lab/encrypted-conversation.ts";
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
  type SqliteServer,
} from "../support/ported.ts";
import { scenario } from "../support/scenario.ts";
import { resultOf, type RunOptions, synlift } from "../support/synlift.ts";

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
    ...["--out", options.out ?? out, "--synapse", synapsePython(), "--json", ...args],
  ];
  return synlift(all, options);
}

/** The process of the script that works in this test's folder. */
function scriptPid(): number | undefined {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (
        program !== "sh" &&
        args.includes("synapse._scripts.synapse_port_db") &&
        args.some((arg) => arg.startsWith(out))
      )
        return Number(pid);
    } catch {
      // It ended meanwhile.
    }
  }
  return undefined;
}

step("a server that runs is not ported for good, and nothing is left behind", async () => {
  const ran = await port();
  assert.equal(ran.code, 14, ran.stderr);
  assert.equal(existsSync(out), false);
  assert.equal(await tablesIn(), "");
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

step("the server starts on PostgreSQL, and old tokens read old messages and media", async () => {
  ported = onDatabase(old, database);
  await ported.start();
  const bob = old.people.bob.at(ported.baseUrl);
  for (const room of Object.values(old.people.rooms))
    assert.deepEqual(await bob.messages(room.id), room.messages);
  const [{ mxc, sha256 }] = old.people.media as [(typeof old.people.media)[number]];
  const { bytes } = await bob.download(mxc);
  assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256);
});

check("old devices still decrypt", async () => {
  const { roomId, texts } = old.people.encrypted;
  const { session } = old.people.alice;
  assert.deepEqual(await readWithOldDevice(ported!.baseUrl, session, roomId), texts);
});

check("a message can be sent in every room", async () => {
  const clients = [old.people.alice, old.people.bob, old.people.carol].map((one) => one.at(ported!.baseUrl));
  let sent = 0;
  for (const client of clients) {
    const { joined_rooms: rooms } = await client.call<{ joined_rooms: string[] }>(
      "GET",
      "/_matrix/client/v3/joined_rooms",
    );
    for (const room of rooms) {
      await client.send(room, "from PostgreSQL");
      assert.equal((await client.messages(room)).at(-1), "from PostgreSQL");
      sent += 1;
    }
  }
  assert.ok(sent >= 4);
});

check("a thread is subscribed to, and so is a second one", async () => {
  const alice = old.people.alice.at(ported!.baseUrl);
  const room = encodeURIComponent(old.people.rooms.public.id);
  for (const text of ["one thread", "another"]) {
    const root = encodeURIComponent(await alice.send(old.people.rooms.public.id, text));
    const path = `/_matrix/client/unstable/io.element.msc4306/rooms/${room}/thread/${root}/subscription`;
    await alice.call("PUT", path, {});
    assert.equal((await alice.call<{ automatic: boolean }>("GET", path)).automatic, false);
  }
});

check("a to-device message arrives, and a new device, a key and a filter are stored", async () => {
  const [alice, bob] = [old.people.alice.at(ported!.baseUrl), old.people.bob.at(ported!.baseUrl)];
  const { next_batch: since } = await bob.call<{ next_batch: string }>(
    "GET",
    "/_matrix/client/v3/sync?timeout=0",
  );
  const content = { messages: { [bob.session.userId]: { [bob.session.deviceId]: { text: "here" } } } };
  await alice.call("PUT", `/_matrix/client/v3/sendToDevice/org.example/${randomUUID()}`, content);
  const { to_device: got } = await bob.call<{ to_device: { events: { content: unknown }[] } }>(
    "GET",
    `/_matrix/client/v3/sync?timeout=5000&since=${since}`,
  );
  assert.deepEqual(
    got.events.map((event) => event.content),
    [{ text: "here" }],
  );
});

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
