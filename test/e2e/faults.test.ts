import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { KeyHome } from "../support/gpg-keys.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo as exportOf, makeOldServer, type OldServer } from "../support/old-server.ts";
import { filesBelow } from "../support/secrets.ts";
import { smallDisk } from "../support/small-disk.ts";
import { eventsOf, MAIN, synlift, synliftWell } from "../support/synlift.ts";

// What can fail in a pipeline of programs. Each time: no artifact, no manifest, a clear error, the documented exit code,
// and the same command ends well once the cause is gone.

let old: OldServer;
let work: string;

const exportTo = (out: string) => exportOf(old, out);

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("faults");
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

const REAL_GPG = execFileSync("sh", ["-c", "command -v gpg"], { encoding: "utf8" }).trim();
const REAL_PG_DUMP = execFileSync("sh", ["-c", "command -v pg_dump"], { encoding: "utf8" }).trim();

/** Programs that die on purpose: only when they do their real work, not when asked for their version. In the order of the artifacts. */
const DYING: { name: string; program: string; script: string; artifact: string; says: RegExp }[] = [
  {
    name: "gpg that dies while it encrypts",
    program: "gpg",
    script: `case "$*" in *--symmetric*) head -c 500 >/dev/null; echo "gpg: boom" >&2; exit 2;; esac; exec ${REAL_GPG} "$@"`,
    artifact: "customer_config_export.tar.gz.gpg",
    says: /gpg failed with exit code 2: gpg: boom/,
  },
  {
    name: "gpg that leaves before it has read everything and says that all is well",
    program: "gpg",
    script: `case "$*" in *--symmetric*) head -c 500 | ${REAL_GPG} "$@"; exit 0;; esac; exec ${REAL_GPG} "$@"`,
    artifact: "customer_backup_media_export.tar.gz.gpg",
    says: /gpg stopped reading|differs from what was written|damaged|dump is incomplete/,
  },
  {
    name: "gpg that is killed while it encrypts",
    program: "gpg",
    script: `case "$*" in *--symmetric*) ${REAL_GPG} "$@" | head -c 300; kill -9 $$;; esac; exec ${REAL_GPG} "$@"`,
    artifact: "customer_config_export.tar.gz.gpg",
    says: /gpg was killed by SIGKILL/,
  },
  {
    name: "pg_dump that fails before its first byte",
    program: "pg_dump",
    script: `case "$*" in *--version*) exec ${REAL_PG_DUMP} --version;; esac; echo "pg_dump: error: no luck" >&2; exit 1`,
    artifact: "customer_db_export.sql.gz.gpg",
    says: /pg_dump failed with exit code 1: no luck/,
  },
  {
    name: "pg_dump that is killed half way",
    program: "pg_dump",
    script: `case "$*" in *--version*) exec ${REAL_PG_DUMP} --version;; esac; ${REAL_PG_DUMP} "$@" | head -c 60000; kill -9 $$`,
    artifact: "customer_db_export.sql.gz.gpg",
    says: /pg_dump was killed by SIGKILL/,
  },
  {
    name: "pg_dump that stops half way and says that all is well",
    program: "pg_dump",
    script: `case "$*" in *--version*) exec ${REAL_PG_DUMP} --version;; esac; ${REAL_PG_DUMP} "$@" | head -c 60000; exit 0`,
    artifact: "customer_db_export.sql.gz.gpg",
    says: /dump is incomplete/,
  },
];

for (const [index, { name, program, script, artifact, says }] of DYING.entries()) {
  test(`a ${name} leaves no artifact`, async () => {
    // One export, begun again each time: what an earlier failure left would be in the way of a later one.
    const out = join(work, "dying");
    const bad = join(work, `programs-${index}`);
    mkdirSync(bad);
    writeFileSync(join(bad, program), `#!/bin/bash\n${script}\n`);
    chmodSync(join(bad, program), 0o755);
    const ran = await synlift(exportTo(out), { env: { PATH: [bad, process.env["PATH"]].join(delimiter) } });
    const error = eventsOf(ran).at(-1)!;
    assert.equal(error.type, "error", ran.stderr);
    assert.match(error.message!, says);
    assert.ok([30, 35].includes(ran.code!), `exit code ${ran.code ?? "none"}`);
    assert.ok(error.hint, "there is a hint");
    assertNothingLeft(out, artifact);
  });
}

test("after all these failures the same export ends well", async () => {
  const out = join(work, "dying");
  await synliftWell(exportTo(out));
  await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);
});

test("a database that drops the connection in the middle of the dump leaves no artifact, and running again ends well", async () => {
  const out = join(work, "dropped");
  const slow = join(work, "slow-programs");
  const begun = join(work, "dump-begun");
  mkdirSync(slow);
  // Read so slowly that it is still connected when its connection is cut.
  writeFileSync(
    join(slow, "pg_dump"),
    `#!/bin/bash\ncase "$*" in *--version*) exec ${REAL_PG_DUMP} --version;; esac\n${REAL_PG_DUMP} "$@" | { head -c 1000; touch ${begun}; while [ -e ${begun} ]; do sleep 0.1; done; cat; }\nexit \${PIPESTATUS[0]}\n`,
  );
  chmodSync(join(slow, "pg_dump"), 0o755);
  const running = synlift(exportTo(out), { env: { PATH: [slow, process.env["PATH"]].join(delimiter) } });
  const wait = { over: false };
  void running.then(() => (wait.over = true));
  while (!wait.over && !existsSync(begun)) await new Promise((resolve) => setTimeout(resolve, 50));
  await old.cluster.sql(
    "postgres",
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_dump'",
  );
  rmSync(begun, { force: true });
  const ran = await running;
  const error = eventsOf(ran).at(-1)!;
  assert.equal(ran.code, 30, ran.stderr);
  assert.match(error.message!, /pg_dump failed with exit code 1: query failed/);
  assertNothingLeft(out, "customer_db_export.sql.gz.gpg");
  await synliftWell(exportTo(out));
  await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);
});

test("a full disk is named, leaves nothing incomplete, and running again with enough space ends well", async (t) => {
  const disk = await smallDisk(t, "2m");
  const out = join(disk, "bundle");
  // Space for the configuration and the database, not for the media: found out only while it is written.
  writeFileSync(join(disk, "ballast"), Buffer.alloc(1330 * 1024));
  const ran = await synlift([...exportTo(out), "--passphrase-file", passphrase()]);
  assert.equal(ran.code, 33, ran.stderr);
  const error = eventsOf(ran).at(-1)!;
  assert.match(error.message!, /cannot write .*customer_backup_media_export.*: no space left/);
  assert.ok(error.hint);
  if (existsSync(out)) assertNothingLeft(out, "customer_backup_media_export.tar.gz.gpg");
  rmSync(join(disk, "ballast"));
  await synliftWell([...exportTo(out), "--passphrase-file", passphrase()]);
  await synliftWell(["verify", out, "--passphrase-file", passphrase()]);
});

test("a reader of the result that goes away is told by the exit code, and the bundle is whole", async () => {
  const out = join(work, "closed");
  const child = spawn(
    "bash",
    ["-c", `"$@" | true; exit \${PIPESTATUS[0]}`, "bash", process.execPath, MAIN, ...exportTo(out)],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 36);
  await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);
});

test("a pg_dump in PATH that is older than the server is passed over for one that is not", async () => {
  const out = join(work, "old-program");
  const bad = join(work, "old-programs");
  mkdirSync(bad);
  writeFileSync(join(bad, "pg_dump"), '#!/bin/sh\necho "pg_dump (PostgreSQL) 9.6.24"\n');
  chmodSync(join(bad, "pg_dump"), 0o755);
  await synliftWell(exportTo(out), { env: { PATH: [bad, process.env["PATH"]].join(delimiter) } });
  await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);
});

test("uploads whose files are missing stop the export by name, and can be accepted", async () => {
  const out = join(work, "missing");
  const id = old.people.media[2]!.mxc.split("/").at(-1)!;
  const path = join(old.home.mediaStorePath, "local_content", id.slice(0, 2), id.slice(2, 4), id.slice(4));
  execFileSync("mv", [path, `${path}.away`]);
  try {
    const ran = await synlift(exportTo(out));
    assert.equal(ran.code, 15, ran.stderr);
    assert.match(eventsOf(ran).at(-1)!.message!, new RegExp(id));
    assertNothingLeft(out, "customer_backup_media_export.tar.gz.gpg");
    await synliftWell([...exportTo(out), "--accept", "media-missing"]);
    await synliftWell(["verify", out, "--passphrase-file", `${out}.passphrase`]);
  } finally {
    execFileSync("mv", [`${path}.away`, path]);
  }
});

test("a folder that holds something else, or another server's bundle, is left alone", async () => {
  const out = join(work, "foreign");
  mkdirSync(out);
  writeFileSync(join(out, "holiday.jpg"), "x");
  const ran = await synlift(exportTo(out));
  assert.equal(ran.code, 22, ran.stderr);
  assert.deepEqual(readdirSync(out), ["holiday.jpg"]);

  // The journal of an export of somebody else's server.
  const other = join(work, "of-another");
  await synliftWell([...exportTo(other), "--rehearse"]);
  const journal = join(other, "journal.json");
  writeFileSync(journal, readFileSync(journal, "utf8").replaceAll("old.example", "another.example"));
  const before = filesBelow(other);
  const refused = await synlift([...exportTo(other), "--rehearse"]);
  assert.equal(refused.code, 22, refused.stderr);
  assert.match(eventsOf(refused).at(-1)!.message!, /another\.example/);
  assert.deepEqual(filesBelow(other), before);
});

test("an expired recipient's key is refused before anything is stopped or written", async () => {
  const keys = new KeyHome();
  try {
    keys.make("late", { expires: "30d", at: "20200101T000000" });
    const out = join(work, "expired");
    const ran = await synlift([...exportTo(out), "--recipient", keys.publicKey("late")]);
    assert.equal(ran.code, 52, ran.stderr);
    assert.match(eventsOf(ran).at(-1)!.message!, /expired/);
    assert.equal(existsSync(out), false);
  } finally {
    keys.close();
  }
});

test("a signing key that is not there is refused, as Synapse would silently make another", async () => {
  const out = join(work, "no-signing-key");
  execFileSync("mv", [old.home.signingKeyPath, `${old.home.signingKeyPath}.away`]);
  try {
    const ran = await synlift(exportTo(out));
    assert.equal(ran.code, 11, ran.stderr);
    assert.match(eventsOf(ran).at(-1)!.message!, /signing\.key/);
  } finally {
    execFileSync("mv", [`${old.home.signingKeyPath}.away`, old.home.signingKeyPath]);
  }
});

function assertNothingLeft(out: string, artifact: string): void {
  const names = readdirSync(out);
  assert.ok(!names.includes("manifest.json"), "there is no manifest");
  assert.deepEqual(
    names.filter((name) => name.includes(artifact) || name.includes("unfinished") || name === "lock"),
    [],
    "there is no artifact and nothing unfinished",
  );
}

function passphrase(): string {
  const path = join(work, "small-disk.passphrase");
  writeFileSync(path, "correct horse battery staple\n", { mode: 0o600 });
  return path;
}
