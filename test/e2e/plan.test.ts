import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { stringify } from "yaml";
import { RealBrowser } from "../support/browser.ts";
import { type DnsServerInTest, startDnsServer } from "../support/dns-server.ts";
import { type HomeserverFolder, makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { populate, type Population } from "../support/lab/populate.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { QUICK_GPG, scriptsIn } from "../support/real-world.ts";
import { filesBelow, watchProcesses } from "../support/secrets.ts";
import { smallDisk } from "../support/small-disk.ts";
import { eventsOf, type Ran, resultOf, type RunOptions, synlift } from "../support/synlift.ts";
import { TestAuthority } from "../support/test-authority.ts";
import { startWeb, type WebServer } from "../support/web-server.ts";

// A real homeserver that people lived on, reached through a name server and a certificate of its own: what `plan` says
// of it when all is well, and that each fault planted in it is told by its name and no other is.

const PASSWORD = "a database's pässword: '%";
const AT_ONCE = { background_updates: { sleep_enabled: false, background_update_duration_ms: 5000 } };
const authority = new TestAuthority();

let cluster: PostgresCluster;
let home: HomeserverFolder;
let server: SynapseServer;
let people: Population;
let dns: DnsServerInTest;
let federation: WebServer;
let target: WebServer;
let env: Record<string, string>;
let name: string;

before(async () => {
  const port = await freePort();
  name = `plan.example:${port}`;
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  await cluster.createRole("syn", PASSWORD);
  await cluster.createDatabase("planned", { owner: "syn" });
  const { host, port: at } = cluster.address;
  home = await makeHomeserverFolder({
    serverName: name,
    database: {
      name: "psycopg2",
      args: { user: "syn", password: PASSWORD, dbname: "planned", host, port: at },
    },
    settings: AT_ONCE,
  });
  server = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await server.start();
  people = await populate(server.baseUrl, home.registrationSharedSecret);
  while (Number(await cluster.sql("planned", "select count(*) from background_updates")) > 0)
    await new Promise((resolve) => setTimeout(resolve, 100));

  const pages = new Map<string, string>();
  for (const path of ["/_matrix/key/v2/server", "/_matrix/federation/v1/version", "/_matrix/client/versions"])
    pages.set(path, await (await fetch(server.baseUrl + path)).text());
  const certificate = { "": authority.sign(["plan.example", "127.0.0.1"]) };
  const answer = (_: string, path: string) => ({
    body: pages.get(path) ?? "",
    status: pages.has(path) ? 200 : 404,
  });
  federation = await startWeb({ port, certificates: certificate, answer });
  target = await startWeb({
    certificates: certificate,
    answer: (_, path) =>
      path.endsWith("/version")
        ? { body: JSON.stringify({ server: { name: "Synapse", version: targetVersion } }) }
        : undefined,
  });
  dns = await startDnsServer({
    zones: {
      "plan.example": [
        "plan.example 300 SOA ns.plan.example root.plan.example 1 3600 600 86400 60",
        "plan.example 300 NS ns.plan.example",
        "ns.plan.example 300 A 127.0.0.1",
        "plan.example 300 A 127.0.0.1",
      ],
    },
  });
  const authorityFile = join(temporaryFolder("ca"), "ca.pem");
  writeFileSync(authorityFile, authority.pem);
  env = {
    NODE_EXTRA_CA_CERTS: authorityFile,
    PATH: [scriptsIn({ gpg: QUICK_GPG, docker: "exit 1" }), process.env["PATH"] ?? ""].join(delimiter),
  };
});

after(async () => {
  await server.stop();
  await cluster.stop();
  for (const one of [dns, federation, target]) await one[Symbol.asyncDispose]();
});

let targetVersion = "1.163.2";

/** The people of this homeserver have no key backups, and its name has a port, which every new host must have too. */
const ACCEPTED = ["people-at-risk", "server-name-port"];

const planArgs = (...more: string[]) => [
  ...["plan", "--config", home.configFile, "--working-directory", home.dataFolder, "--out", "/tmp"],
  ...["--resolver", `127.0.0.1:${dns.port}`, "--target", `https://127.0.0.1:${target.port}`],
  ...ACCEPTED.flatMap((id) => ["--accept", id]),
  ...more,
];

const plan = (more: readonly string[] = [], options: RunOptions = {}): Promise<Ran> =>
  synlift(planArgs(...more), { ...options, env: { ...env, ...options.env } });

const grave = (ran: Ran) =>
  resultOf(ran)
    .findings.filter(({ level }) => level === "warning" || level === "blocker")
    .map(({ id, level }) => `${id} ${level}`);

test("a healthy homeserver: nothing above a note, exit code 0, and figures that are right", async () => {
  const ran = await plan(["--json"]);
  assert.deepEqual(grave(ran), []);
  assert.equal(ran.code, 0, ran.stderr);
  const { details } = resultOf(ran) as unknown as { details: Record<string, unknown> };
  const expect = details as {
    serverName: string;
    running: boolean;
    synapse: string;
    database: { engine: string; schema: { version: number } };
    media: { kinds: { localUploads: { files: number; bytes: number } } };
    people: { people: number };
    estimate: { outageSeconds: number; stages: { id: string; seconds: number }[] };
    agenda: { title: string; commands: string[] }[];
    safeFrom: string;
  };
  assert.equal(expect.serverName, name);
  assert.equal(expect.running, true);
  assert.match(expect.synapse, /^1\.163\.2/);
  assert.equal(expect.database.engine, "postgres");
  assert.equal(expect.media.kinds.localUploads.files, people.media.length);
  assert.equal(
    expect.media.kinds.localUploads.bytes,
    people.media.reduce((sum, { size }) => sum + size, 0),
  );
  assert.equal(expect.people.people, 4);
  const sum = expect.estimate.stages.reduce((total, { seconds }) => total + seconds, 0);
  assert.ok(Math.abs(sum - expect.estimate.outageSeconds) < 1);
  const wait = Date.parse(expect.safeFrom) - Date.now();
  assert.ok(wait > 47 * 3600_000 && wait < 49 * 3600_000, expect.safeFrom);
  const commands = expect.agenda.flatMap((moment) => moment.commands).join("\n");
  assert.ok(commands.includes(home.configFile));
  assert.match(commands, /synlift export/);
});

test("a plan changes nothing: no file, no row, no sequence", async () => {
  await server.stop();
  try {
    const state = async () => ({
      files: filesBelow(home.folder).map((path) => {
        const { mtimeMs, ctimeMs, size } = statSync(path);
        return [path, mtimeMs, ctimeMs, size, createHash("sha256").update(readFileSync(path)).digest("hex")];
      }),
      // Sizes are those of catalogues and indexes, too: this cluster neither vacuums nor analyzes by itself.
      database: await cluster.sql(
        "planned",
        `select relname || '/' || relfilenode || '/' || pg_relation_size(oid) as line from pg_class where relkind in ('r', 'i', 'S')
         union all select relname || n_tup_ins || '/' || n_tup_upd || '/' || n_tup_del from pg_stat_user_tables
         union all select sequencename || last_value from pg_sequences
         order by line`,
      ),
    });
    // A session counts what it wrote when it ends, which may be after its client has gone.
    const sessions =
      "select count(*) from pg_stat_activity where datname = 'planned' and pid <> pg_backend_pid()";
    while ((await cluster.sql("planned", sessions)) !== "0") await wait(50);
    const before = await state();
    const ran = await plan(["--json", "--deep"]);
    assert.deepEqual(grave(ran), []);
    assert.deepEqual(await state(), before);
    assert.ok(!existsSync("/tmp/manifest.json"));
  } finally {
    await server.start();
  }
});

test("nothing secret is shown, written, or handed to a program where others can see it", async () => {
  const folder = temporaryFolder("shown");
  const html = join(folder, "plan.html");
  const watch = watchProcesses();
  const outputs = [await plan(["--html", html]), await plan(["--json"])].flatMap(({ stdout, stderr }) => [
    stdout,
    stderr,
  ]);
  const told = [...outputs, readFileSync(html, "utf8"), ...watch.stop()].join("\n");
  const config = readFileSync(home.configFile, "utf8");
  const secrets = [
    PASSWORD,
    home.registrationSharedSecret,
    ...["macaroon_secret_key", "form_secret", "pepper"].map(
      (key) => new RegExp(`${key}: (\\S+)`).exec(config)![1]!,
    ),
    readFileSync(home.signingKeyPath, "utf8").trim().split(" ")[2]!,
    people.alice.session.accessToken,
  ];
  for (const secret of secrets) assert.ok(!told.includes(secret), "a secret was shown");
  assert.equal(statSync(html).mode & 0o777, 0o600);
});

test("the page holds on a phone and on a wide screen, and what is left out is nowhere", async () => {
  const folder = temporaryFolder("pages");
  const [open, redacted] = [join(folder, "open.html"), join(folder, "redacted.html")];
  await plan(["--html", open]);
  const ran = await plan(["--html", redacted, "--redact", "--json"]);
  const text = await plan(["--redact"]);
  const names = [
    name,
    "plan.example",
    hostname().length > 4 ? hostname() : "plan.example",
    home.folder,
    ...[people.alice, people.bob].map(({ session }) => session.userId),
    ...people.media.map(({ mxc }) => mxc.split("/").at(-1)!),
    readFileSync(home.signingKeyPath, "utf8").split(" ")[1]!,
  ];
  const told = [readFileSync(redacted, "utf8").replaceAll("<wbr>", ""), ran.stdout, text.stdout].join("\n");
  for (const one of names) assert.ok(!told.includes(one), `${one} was not left out`);

  await using browser = await RealBrowser.open();
  for (const path of [open, redacted]) {
    await using visit = await browser.visit(readFileSync(path, "utf8"));
    for (const width of [400, 1400]) {
      for (const opened of [false, true])
        assert.deepEqual(await visit.look({ width, opened }), [], `${path} at ${width}`);
      assert.ok((await visit.picture()).length > 10_000);
    }
    assert.deepEqual([visit.complaints, visit.requests], [[], []]);
  }
});

/** A configuration that differs from the healthy one, beside it. */
function changed(settings: Record<string, unknown>): string[] {
  const extra = join(temporaryFolder("changed"), "extra.yaml");
  writeFileSync(extra, stringify(settings));
  return ["--config", extra];
}

interface Fault {
  readonly expected: readonly string[];
  readonly args?: () => string[];
  readonly env?: () => Record<string, string>;
  /** Plants it, and hands back the undo. */
  readonly plant?: () => Promise<() => PromiseLike<unknown>> | (() => void);
  readonly says: RegExp;
}

const sql = (plant: string, undo: string) => async () => {
  await cluster.sql("planned", plant);
  return () => cluster.sql("planned", undo);
};
const upload = (index = 0) => {
  const id = people.media[index]!.mxc.split("/").at(-1)!;
  return join(home.mediaStorePath, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
};

const FAULTS: Readonly<Record<string, Fault>> = {
  "a pepper that a later file throws away": {
    // The running server has other files than those given here, which is told as well.
    expected: [
      "pepper-overridden blocker",
      "config-overridden:password_config warning",
      "config-order warning",
    ],
    args: () => changed({ password_config: { enabled: true } }),
    says: /no pepper is in effect/,
  },
  "a signing key that is not there": {
    expected: ["signing-key blocker", "config-order warning"],
    args: () => changed({ signing_key_path: "/nowhere/signing.key" }),
    says: /no signing key at \/nowhere\/signing\.key/,
  },
  "a signing key that the running server does not publish": {
    expected: ["signing-key-published blocker", "config-order warning"],
    args: () => {
      const path = join(temporaryFolder("key"), "other.key");
      writeFileSync(path, `ed25519 a_other ${Buffer.alloc(32, 7).toString("base64").replaceAll("=", "")}\n`, {
        mode: 0o600,
      });
      return changed({ signing_key_path: path });
    },
    says: /ed25519:a_other/,
  },
  "an application service's file that is missing": {
    expected: ["file-missing:app_service_config_files[0] blocker", "config-order warning"],
    args: () => changed({ app_service_config_files: ["/nowhere/bridge.yaml"] }),
    says: /bridge\.yaml, which does not exist/,
  },
  "a setting that the target's version refuses": {
    expected: ["config-removed:experimental_features.msc3861 blocker", "config-order warning"],
    args: () =>
      changed({ experimental_features: { msc3861: { enabled: true, issuer: "https://auth.example" } } }),
    says: /msc3861/,
  },
  "background updates that are still to come": {
    expected: ["background-updates warning"],
    plant: sql(
      "insert into background_updates (update_name, progress_json) values ('planted_update', '{}')",
      "delete from background_updates where update_name = 'planted_update'",
    ),
    says: /planted_update/,
  },
  "a sequence that is behind": {
    expected: ["sequences-behind warning"],
    plant: sql(
      "insert into stream_positions values ('pushers', 'planted', 999)",
      "delete from stream_positions where instance_name = 'planted'",
    ),
    says: /the position of pushers in stream_positions is 999/,
  },
  "accounts of another server": {
    expected: ["users-foreign blocker"],
    plant: sql(
      "insert into users (name) values ('@eve:elsewhere.example')",
      "delete from users where name = '@eve:elsewhere.example'",
    ),
    says: /elsewhere\.example: 1/,
  },
  "a table that nobody knows": {
    expected: ["tables-unknown warning"],
    plant: sql("create table guestbook (n int); alter table guestbook owner to syn", "drop table guestbook"),
    says: /guestbook/,
  },
  "an upload without its file": {
    expected: ["media-missing warning"],
    plant: () => {
      const [path, aside] = [upload(), join(temporaryFolder("aside"), "upload")];
      cpSync(path, aside);
      rmSync(path);
      return () => {
        cpSync(aside, path);
      };
    },
    says: /bytes by its row/,
  },
  "an upload that was cut off": {
    expected: ["media-differing warning"],
    plant: () => {
      const [path, aside] = [upload(1), join(temporaryFolder("aside"), "upload")];
      cpSync(path, aside);
      truncateSync(path, 10);
      return () => {
        cpSync(aside, path);
      };
    },
    says: /10 on disk/,
  },
  "a target that is too old for this database": {
    expected: ["target-too-old blocker"],
    plant: () => {
      targetVersion = "1.60.0";
      return () => {
        targetVersion = "1.163.2";
      };
    },
    says: /1\.60\.0/,
  },
  "a record that everybody keeps for a day": {
    expected: ["dns-ttl warning"],
    plant: async () => {
      const slow = await startDnsServer({
        zones: {
          "plan.example": [
            "plan.example 300 SOA ns.plan.example root.plan.example 1 3600 600 86400 60",
            "plan.example 300 NS ns.plan.example",
            "ns.plan.example 300 A 127.0.0.1",
            "plan.example 86400 A 127.0.0.1",
          ],
        },
      });
      slowDns = slow;
      return () => slow[Symbol.asyncDispose]();
    },
    args: () => ["--resolver", `127.0.0.1:${slowDns!.port}`],
    says: /86400/,
  },
  "a move that begins before it is safe": {
    expected: ["move-date warning"],
    args: () => ["--when", new Date(Date.now() + 3600_000).toISOString().slice(0, 16)],
    says: /others may still have the old address/,
  },
  "an upload that the target refuses": {
    expected: ["media-largest warning"],
    args: () => ["--target-upload-limit", "1k"],
    says: /1\.0 KiB/,
  },
  "a new database that is not empty": {
    expected: ["target-database blocker"],
    plant: sql("select 1", "select 1"),
    args: () => {
      const file = join(temporaryFolder("password"), "password");
      writeFileSync(file, PASSWORD + "\n");
      const { host, port } = cluster.address;
      return [
        ...["--target-database", `host=${host} port=${port} user=syn dbname=planned`],
        ...["--target-database-password-file", file],
      ];
    },
    says: /database planned is not empty/,
  },
  "no gpg": {
    expected: ["gpg blocker"],
    env: () => ({
      PATH: scriptsIn({
        gpg: "exit 127",
        psql: 'exec /usr/bin/psql "$@"',
        pg_dump: 'exec /usr/bin/pg_dump "$@"',
      }),
    }),
    says: /gpg does not work/,
  },
};
let slowDns: DnsServerInTest | undefined;

/**
 * Faults that do not hide each other are planted together, as a plan looks at everything each time: each must be named, and nothing
 * but their names be found. They are alone in the group where they change what the others need.
 */
const GROUPS: Readonly<Record<string, readonly (keyof typeof FAULTS)[]>> = {
  "four faults of the configuration": [
    "a pepper that a later file throws away",
    "a signing key that is not there",
    "an application service's file that is missing",
    "a setting that the target's version refuses",
  ],
  "eight faults that are warnings": [
    "background updates that are still to come",
    "a sequence that is behind",
    "a table that nobody knows",
    "an upload without its file",
    "an upload that was cut off",
    "a record that everybody keeps for a day",
    "a move that begins before it is safe",
    "an upload that the target refuses",
  ],
  "four faults, each of which ends the move": [
    "a signing key that the running server does not publish",
    "accounts of another server",
    "a target that is too old for this database",
    "a new database that is not empty",
  ],
  "no gpg": ["no gpg"],
};

test("each fault is in one of the groups", () => {
  assert.deepEqual(Object.values(GROUPS).flat().toSorted(), Object.keys(FAULTS).toSorted());
});

for (const [title, members] of Object.entries(GROUPS)) {
  test(`${title}: found by name, and nothing else`, async () => {
    const faults = members.map((one) => ({ one, ...FAULTS[one]! }));
    const undo: (() => unknown)[] = [];
    try {
      for (const { plant } of faults) if (plant) undo.push(await plant());
      const args = faults.flatMap((fault) => fault.args?.() ?? []);
      const changes = Object.assign({}, ...faults.map((fault) => fault.env?.())) as Record<string, string>;
      const ran = await plan([...args, "--json"], { env: changes });
      const expected = [...new Set(faults.flatMap((fault) => fault.expected))];
      assert.deepEqual(grave(ran).toSorted(), expected.toSorted(), ran.stderr);
      const blocked = expected.some((one) => one.endsWith("blocker"));
      assert.equal(ran.code, blocked ? 61 : 60);
      assert.equal(eventsOf(ran).at(-1)!.code, blocked ? "found-blockers" : "found-warnings");
      for (const { one, says } of faults) assert.match(ran.stdout, says, one);
      for (const { level, hint } of resultOf(ran).findings as { level: string; hint?: string }[])
        if (level === "warning" || level === "blocker") assert.ok(hint, "says what to do");
    } finally {
      for (const back of undo) await back();
    }
  });
}

test("a disk without space for the bundle is reported before anything is stopped", async (t) => {
  const out = join(await smallDisk(t, "1m"), "bundle");
  const ran = await plan(["--json", "--out", out]);
  assert.deepEqual(grave(ran), ["disk-space blocker", "disk-memory warning"]);
  assert.ok(!existsSync(out));
});

test("an accepted id without a warning is noted: it may be mistyped, or its cause gone", async () => {
  const ran = await plan(["--json", "--accept", "media-missin"]);
  assert.equal(ran.code, 0);
  assert.match(ran.stdout, /--accept had no effect for media-missin/);
});

test("an accepted warning is a note, and the exit code is 0 again", async () => {
  const ran = await plan(["--json", "--target-upload-limit", "1k", "--accept", "media-largest"]);
  assert.deepEqual(grave(ran), []);
  assert.equal(ran.code, 0);
  assert.match(ran.stdout, /\(accepted\)/);
});

const BAD: Readonly<Record<string, { args: () => string[]; expected: string }>> = {
  "a broken YAML": {
    args: () => {
      const path = join(temporaryFolder("bad"), "homeserver.yaml");
      writeFileSync(path, 'server_name: a.example\npassword_config:\n  pepper: "never-shown\n');
      return ["--config", path];
    },
    expected: "config-unreadable",
  },
  "a folder without a YAML file": {
    args: () => ["--config", temporaryFolder("bad")],
    expected: "config-unreadable",
  },
  "a database that nobody can reach": {
    args: () => changed({ database: databaseWith({ port: 1 }) }),
    expected: "database-unreachable",
  },
  "a wrong password": {
    args: () => changed({ database: databaseWith({ password: "wrong-and-secret" }) }),
    expected: "database-unreachable",
  },
  "a database that is somebody else's": {
    args: () => changed({ database: databaseWith({ dbname: "customers" }) }),
    expected: "database-foreign",
  },
  "an empty database": {
    args: () => changed({ database: databaseWith({ dbname: "nothing" }) }),
    expected: "database-empty",
  },
  "a media store that is a file": {
    args: () => {
      const path = join(temporaryFolder("bad"), "store");
      writeFileSync(path, "no folder");
      return changed({ media_store_path: path });
    },
    expected: "media-store",
  },
};
const databaseWith = (args: object) => {
  const { host, port } = cluster.address;
  return {
    name: "psycopg2",
    args: { user: "syn", password: PASSWORD, dbname: "planned", host, port, ...args },
  };
};

test("bad input is told for what it is, and the rest of the plan still comes", async (t) => {
  await cluster.createDatabase("customers", { owner: "syn" });
  await cluster.sql("customers", "set role syn; create table customers (n int)");
  await cluster.createDatabase("nothing", { owner: "syn" });
  for (const [title, { args, expected }] of Object.entries(BAD)) {
    await t.test(title, async () => {
      const given = args();
      const own =
        expected === "config-unreadable"
          ? planArgs().map((word) => (word === home.configFile ? given[1]! : word))
          : planArgs(...given);
      const ran = await synlift([...own, "--json"], { env });
      assert.equal(ran.code, 61, ran.stderr);
      const { findings } = resultOf(ran);
      assert.ok(
        findings.some(({ id, level }) => id === expected && level === "blocker"),
        findings.map(({ id }) => id).join(" "),
      );
      for (const still of ["disk-space", "memory", "shell"])
        assert.ok(
          findings.some(({ id }) => id === still),
          `no ${still}`,
        );
      assert.ok(!/never-shown|wrong-and-secret|\.ts:\d+/.test(ran.stdout + ran.stderr));
    });
  }
});

test("a name server that says nothing costs some seconds and one finding", async () => {
  const silent = await startDnsServer({ zones: {}, mischief: { all: "silent" } });
  try {
    const ran = await plan(["--json", "--resolver", `127.0.0.1:${silent.port}`]);
    assert.deepEqual(grave(ran), ["dns-unavailable warning"]);
    // Had the limit of all requests together been reached, that would be another.
  } finally {
    await silent[Symbol.asyncDispose]();
  }
});

test("the plan as text stays within 80 columns, commands apart, and needs no colour", async () => {
  const { stdout, code } = await plan();
  assert.equal(code, 0);
  const wide = stdout.split("\n").filter((line) => line.length > 80);
  // A path or a command is there to be copied: it is never broken.
  assert.deepEqual(
    wide.filter((line) => !/--|\/tmp\/|su postgres/.test(line)),
    [],
  );

  assert.ok(!/\u001b/.test(stdout));
  for (const heading of [
    "Summary",
    "Database by table",
    "Media by kind",
    "The outage",
    "The move, step by step",
  ])
    assert.ok(stdout.includes(`${heading}\n---`), heading);
});

test("a homeserver on SQLite is planned as one that moves, as a file, and is measured", async () => {
  const lite = await makeHomeserverFolder({ serverName: "lite.example", settings: AT_ONCE });
  const running = new SynapseServer({ configFiles: [lite.configFile], folder: lite.dataFolder });
  await running.start();
  try {
    await populate(running.baseUrl, lite.registrationSharedSecret);
    const args = [
      "plan",
      "--config",
      lite.configFile,
      "--working-directory",
      lite.dataFolder,
      "--out",
      "/tmp",
      "--json",
    ];
    const ran = await synlift([...args, "--resolver", `127.0.0.1:${dns.port}`], { env });
    const ids = grave(ran).map((one) => one.split(" ")[0]);
    assert.ok(!ids.some((id) => /^(media|signing|sqlite|database|users|sequences)/.test(id!)), ids.join());
    assert.deepEqual(
      resultOf(ran).findings.flatMap(({ id, level }) => (id === "database-sqlite" ? [level] : [])),
      ["note"],
    );
    const { estimate, database } = resultOf(ran).details as {
      estimate: { outageSeconds: number };
      database: { engine: string };
    };
    assert.equal(database.engine, "sqlite");
    assert.ok(estimate.outageSeconds > 30);
    const agenda = JSON.stringify(resultOf(ran).details["agenda"]);
    assert.match(agenda, /--database sqlite:/);
    assert.doesNotMatch(agenda, /psql|db\.password/);
  } finally {
    await running.stop();
  }
});
