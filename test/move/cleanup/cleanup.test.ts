import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { MigrationError } from "../../../src/errors.ts";
import { cleanUp } from "../../../src/move/cleanup/run.ts";
import { cleanupDetails, describeCleanup } from "../../../src/move/cleanup/result-text.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import type { System } from "../../../src/system/system.ts";
import { matchesGolden } from "../../report/golden.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { lockWith } from "../../support/real-world.ts";
import { outcomeText } from "../../support/outcome-text.ts";
import { makeSmallBundle } from "../../support/small-bundle.ts";

const DAY = 24 * 3600 * 1000;
const SEALED = Date.UTC(2026, 0, 2);
const OPENED = "2026-01-03T00:00:00.000Z";
const lock = lockWith();

/** A server at every address that answers as this one; nobody where it is undefined. */
const systemAt = (now: number, answers?: string): System =>
  ({
    files: realFiles,
    machine: machineWith({ now: () => now }),
    http: {
      get: () =>
        answers === undefined
          ? Promise.reject(new Error("no answer"))
          : Promise.resolve({
              status: 200,
              body: Buffer.from(JSON.stringify({ server_name: answers, verify_keys: {} })),
            }),
    },
  }) as unknown as System;

/** A bundle with all that an export leaves beside it, and files that are nobody's business. */
async function leftOver() {
  const base = temporaryFolder("cleanup");
  const folder = join(base, "move");
  mkdirSync(folder);
  await makeSmallBundle({ folder, lock, partSize: 4000 });
  for (const name of ["journal.json", "sent.json", "media-packed.txt", "report.html"])
    writeFileSync(join(folder, name), name === "journal.json" ? JOURNAL : "x");
  for (const name of [".customer_db_export.sql.gz.gpg.part-ab.unfinished", "notes.txt", "homeserver.yaml"])
    writeFileSync(join(folder, name), "x");
  mkdirSync(join(folder, "database"));
  writeFileSync(join(folder, "database", "manifest.json"), "precious");
  writeFileSync(`${folder}.passphrase`, "secret");
  mkdirSync(`${folder}.database-copy`);
  writeFileSync(join(`${folder}.database-copy`, "homeserver.db"), "x");
  return { base, folder };
}

const JOURNAL = JSON.stringify({
  format: "synlift-journal",
  version: 1,
  facts: { subject: "example.org", kind: "move" },
  steps: { "export/database": { inputs: {}, outcome: {}, at: new Date(SEALED).toISOString() } },
});

function restored(base: string, more: Record<string, unknown> = {}): string {
  const configFolder = join(base, "config");
  mkdirSync(join(configFolder, ".synlift"), { recursive: true });
  const record = {
    format: "synlift-restored",
    version: 1,
    bundle: "x",
    serverName: "example.org",
    rehearsal: false,
    mediaStore: join(base, "media"),
    configPaths: [],
    fencedPaths: [],
    fence: { folder: configFolder, names: [], suffix: ".fenced" },
    outageSince: null,
    restored: OPENED,
    opening: OPENED,
    started: null,
    opened: OPENED,
    accepted: [],
    ...more,
  };
  writeFileSync(join(configFolder, ".synlift", "restored.json"), JSON.stringify(record));
  for (const name of ["inventory.json.gpg", "report.html"])
    writeFileSync(join(configFolder, ".synlift", name), "x");
  return configFolder;
}

const order = { folder: undefined, configFolder: undefined, target: undefined, days: 14, yes: true };
const LATER = Date.parse(OPENED) + 15 * DAY;

test("without --yes it lists everything with size and reason, and removes nothing", async () => {
  const { base, folder } = await leftOver();
  const before = readdirSync(folder);
  const result = await cleanUp(
    { ...order, folder, configFolder: restored(base), yes: false },
    systemAt(LATER),
  );
  assert.equal(result.kind, "listed");
  assert.deepEqual(readdirSync(folder), before);
  const text = describeCleanup(result).join("\n");
  for (const said of [
    "the passphrase, which opens",
    "unencrypted copy of the database",
    "the bundle",
    "journal",
    "kept: the report",
  ])
    assert.ok(text.includes(said), `${said}: ${text}`);
  const { files, removed } = cleanupDetails(result) as {
    files: { path: string; bytes: number }[];
    removed: boolean;
  };
  assert.equal(removed, false);
  assert.ok(files.every(({ bytes }) => bytes > 0));
});

test("after the opening and the waiting time it removes what synlift made, and nothing else", async () => {
  const { base, folder } = await leftOver();
  const precious = join(base, "precious");
  writeFileSync(precious, "x");
  symlinkSync(precious, join(folder, "customer_db_export.sql.gz.gpg.part-zz"));
  const configFolder = restored(base);
  const result = await cleanUp({ ...order, folder, configFolder }, systemAt(LATER));
  assert.equal(result.kind, "removed");
  assert.deepEqual(readdirSync(folder).sort(), [
    "customer_db_export.sql.gz.gpg.part-zz",
    "database",
    "homeserver.yaml",
    "notes.txt",
    "report.html",
  ]);
  assert.equal(existsSync(precious), true);
  assert.equal(existsSync(`${folder}.passphrase`), false);
  assert.equal(existsSync(`${folder}.database-copy`), false);
  assert.deepEqual(readdirSync(join(configFolder, ".synlift")).sort(), ["report.html", "restored.json"]);
});

test("before the opening, in a rehearsal, and for another homeserver nothing is removed", async () => {
  for (const more of [{ opened: null }, { rehearsal: true }, { serverName: "other.example" }]) {
    const { base, folder } = await leftOver();
    const before = readdirSync(folder);
    const result = await cleanUp({ ...order, folder, configFolder: restored(base, more) }, systemAt(LATER));
    assert.equal(result.kind, "refused", JSON.stringify(more));
    assert.ok(result.findings.some(({ id, level }) => id === "not-opened" && level === "blocker"));
    assert.deepEqual(readdirSync(folder), before);
    assert.equal(existsSync(`${folder}.passphrase`), true);
  }
});

test("before the waiting time it refuses and says how long it is, and a shorter one is taken", async () => {
  const { base, folder } = await leftOver();
  const configFolder = restored(base);
  const soon = systemAt(Date.parse(OPENED) + 13 * DAY);
  const result = await cleanUp({ ...order, folder, configFolder }, soon);
  assert.equal(result.kind, "refused");
  assert.match(result.findings[0]!.sentence, /of 14 days of waiting are left$/);
  assert.equal((await cleanUp({ ...order, folder, configFolder, days: 12.5 }, soon)).kind, "removed");
});

test("on the old host the new server's answer counts, from when the bundle was sealed", async () => {
  const { folder } = await leftOver();
  const target = "https://new.example.org";
  const manifest = Date.now();
  for (const [system, kind] of [
    [systemAt(manifest + 20 * DAY), "refused"],
    [systemAt(manifest + 20 * DAY, "other.example"), "refused"],
    [systemAt(SEALED, "example.org"), "refused"],
    [systemAt(manifest + 20 * DAY, "example.org"), "removed"],
  ] as const)
    assert.equal((await cleanUp({ ...order, folder, target }, system)).kind, kind);
});

test("interrupted after the manifest it is run again, and a folder that has nothing of a move is an error", async () => {
  const { base, folder } = await leftOver();
  const configFolder = restored(base);
  await cleanUp({ ...order, folder, configFolder }, systemAt(LATER));
  assert.equal((await cleanUp({ ...order, folder, configFolder }, systemAt(LATER))).kind, "removed");
  await assert.rejects(
    cleanUp({ ...order, folder: temporaryFolder("nothing") }, systemAt(LATER)),
    (error: MigrationError) => error.code === "bundle-incomplete",
  );
});

for (const kind of ["listed", "refused", "removed"] as const)
  test(`what people and scripts get of a cleanup: ${kind}`, () => {
    const left = [
      {
        path: "/srv/move.passphrase",
        bytes: 65,
        why: "the passphrase, which opens every copy of the bundle",
        kept: false,
      },
      { path: "/srv/move/a.gpg.part-aa", bytes: 104_857_600, why: "the bundle", kept: false },
      { path: "/srv/move/a.gpg.part-ab", bytes: 900, why: "the bundle", kept: false },
      { path: "/srv/move/report.html", bytes: 20_000, why: "the report of the move", kept: true },
    ];
    const blocker = {
      id: "not-opened",
      level: "blocker" as const,
      sentence: "the new server was not opened",
      hint: "open it first",
    };
    const result = { kind, left, findings: kind === "removed" ? [] : [blocker] };
    matchesGolden(
      `cleanup-${kind}.txt`,
      outcomeText({
        findings: result.findings,
        details: cleanupDetails(result),
        lines: describeCleanup(result),
      }),
    );
  });
