import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import type { Manifest } from "../../src/bundle/manifest.ts";
import { assertUndamaged, verifyContents, verifyManifest, verifyParts } from "../../src/bundle/verify.ts";
import { verifyForOpeningByHand } from "../../src/bundle/verify-by-hand.ts";
import type { Finding } from "../../src/report/finding.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import { flipped } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import {
  DUMP as DUMP_TEXT,
  DUMP_PLAN,
  makeSmallBundle,
  openBundle,
  writerIn,
} from "../support/small-bundle.ts";

const lock = lockWith();
const DUMP = "customer_db_export.sql.gz.gpg";
const MEDIA = "customer_backup_media_export.tar.gz.gpg";
let good: string;

before(async () => {
  good = temporaryFolder("bundle");
  // The dump fits into one part, the media does not.
  await makeSmallBundle({ folder: good, lock, partSize: 1500 });
});

/** A copy of the good bundle, to be damaged. */
function copy(): string {
  const folder = temporaryFolder("bundle");
  cpSync(good, folder, { recursive: true });
  return folder;
}

const blockers = (findings: readonly Finding[]) =>
  findings
    .filter(({ level }) => level !== "ok")
    .map(({ id, level, sentence }) => `${level} ${id}: ${sentence}`);
const looked = async (folder: string) =>
  blockers(await verifyParts(await openBundle(folder), files, noProgress));

function editManifest(folder: string, edit: (manifest: Manifest) => unknown): void {
  const path = join(folder, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  writeFileSync(path, JSON.stringify(edit(manifest) ?? manifest));
}

test("a bundle that nobody touched passes every look, part by part, hash by hash and content by content", async () => {
  const bundle = await openBundle(good);
  const inventory = await bundle.inventory(lock);
  const findings = [
    ...(await verifyParts(bundle, files, noProgress)),
    ...verifyManifest(bundle, inventory),
    ...(await verifyContents(bundle, inventory, lock, noProgress)),
  ];
  assert.deepEqual(blockers(findings), []);
  assert.deepEqual(
    findings.map(({ id }) => id),
    ["artifact", "artifact", "manifest", "contents", "contents"],
  );
  assert.deepEqual(inventory.section("database"), { rows: { "public.events": 7 } });
  assertUndamaged(findings);
});

test("a part that is missing is named", async () => {
  const folder = copy();
  rmSync(join(folder, `${MEDIA}.part-ac`));
  assert.deepEqual(await looked(folder), [`blocker part-missing: ${folder}/${MEDIA}.part-ac is missing`]);
  assert.throws(
    () => {
      assertUndamaged([
        { id: "part-missing", level: "blocker", sentence: "x is missing", hint: "copy it again" },
      ]);
    },
    { code: "bundle-damaged", message: "x is missing", hint: "copy it again" },
  );
});

test("a link, a pipe or a directory in the place of a part is not followed, and called what it is", async () => {
  const path = (folder: string) => join(folder, `${MEDIA}.part-ac`);
  const kinds: [string, (folder: string) => void][] = [
    [
      "a symbolic link",
      (folder) => {
        symlinkSync(path(good), path(folder));
      },
    ],
    [
      "a pipe, socket or device",
      (folder) => {
        execFileSync("mkfifo", [path(folder)]);
      },
    ],
    [
      "a directory",
      (folder) => {
        mkdirSync(path(folder));
      },
    ],
  ];
  for (const [what, make] of kinds) {
    const folder = copy();
    rmSync(path(folder));
    make(folder);
    assert.deepEqual(await looked(folder), [
      `blocker part-kind: ${path(folder)} is ${what}, not a file of the bundle`,
    ]);
  }
});

test("a manifest that is a symbolic link or a pipe is not followed", async () => {
  const folder = copy();
  rmSync(join(folder, "manifest.json"));
  symlinkSync(join(good, "manifest.json"), join(folder, "manifest.json"));
  await assert.rejects(openBundle(folder), { code: "bundle-damaged", message: /not a regular file/ });
  rmSync(join(folder, "manifest.json"));
  execFileSync("mkfifo", [join(folder, "manifest.json")]);
  await assert.rejects(openBundle(folder), { code: "bundle-damaged", message: /not a regular file/ });
});

async function byHand(folder: string, withKey = true): Promise<string[]> {
  const bundle = await openBundle(folder);
  const inventory = withKey ? await bundle.inventory(lock) : undefined;
  return blockers(await verifyForOpeningByHand(bundle, files, inventory));
}

test("what a person relies on who opens the bundle by hand is verified: SHA256SUMS and OPENING.txt", async () => {
  assert.deepEqual(await byHand(good), []);
  assert.deepEqual(await byHand(good, false), []);

  const missing = copy();
  rmSync(join(missing, "OPENING.txt"));
  assert.match((await byHand(missing)).join(), /^warning by-hand: .*OPENING\.txt is missing/);
  rmSync(join(missing, "SHA256SUMS"));
  symlinkSync(join(good, "SHA256SUMS"), join(missing, "SHA256SUMS"));
  assert.match((await byHand(missing)).join(), /SHA256SUMS is a symbolic link/);
});

test("a line of SHA256SUMS that is changed, left out, doubled or added is found", async () => {
  const text = readFileSync(join(good, "SHA256SUMS"), "utf8");
  const lines = text.split("\n").filter(Boolean);
  const other = "0".repeat(64);
  const cases: [string, RegExp][] = [
    [lines.slice(1).join("\n"), /does not list all files/],
    ["", /does not list all files/],
    [text.replace(lines[0]!.slice(0, 64), other), /lists other hashes than the manifest/],
    [`${text}${lines[0]!}\n`, /has a line that the export did not write/],
    [`${text}${other}  /etc/passwd\n`, /lists files that are not part of the bundle/],
    [`${text}# all of them are good\n`, /has a line that the export did not write/],
  ];
  for (const [content, expected] of cases) {
    const folder = copy();
    writeFileSync(join(folder, "SHA256SUMS"), content);
    assert.match((await byHand(folder)).join("\n"), expected, content);
  }
});

test("a command that somebody put into OPENING.txt is found, with the key even if the hash beside it was changed too", async () => {
  const folder = copy();
  const path = join(folder, "OPENING.txt");
  const [before, after] = [
    readFileSync(path),
    Buffer.concat([readFileSync(path), Buffer.from("rm -rf /\n")]),
  ];
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  writeFileSync(path, after);
  assert.match((await byHand(folder, false)).join(), /lists other hashes than the file has/);
  const sums = join(folder, "SHA256SUMS");
  writeFileSync(sums, readFileSync(sums, "utf8").replace(hash(before), hash(after)));
  assert.deepEqual(await byHand(folder, false), [], "without the key this cannot be seen");
  assert.match((await byHand(folder)).join(), /OPENING\.txt is not what the export wrote/);
});

test("a part that is too short or too long is named with both sizes", async () => {
  const folder = copy();
  truncateSync(join(folder, `${MEDIA}.part-ab`), 1499);
  writeFileSync(join(folder, `${MEDIA}.part-aa`), "x", { flag: "a" });
  assert.deepEqual(await looked(folder), [
    `blocker part-size: ${folder}/${MEDIA}.part-aa has 1501 bytes, but 1500 according to the manifest`,
    `blocker part-size: ${folder}/${MEDIA}.part-ab has 1499 bytes, but 1500 according to the manifest`,
  ]);
});

test("one flipped bit anywhere in a part is found, also in the inventory", async () => {
  for (const name of [`${MEDIA}.part-ab`, `${DUMP}.part-aa`, "inventory.json.gpg"]) {
    const path = join(copy(), name);
    writeFileSync(path, flipped(readFileSync(path), 100));
    assert.deepEqual(await looked(join(path, "..")), [
      `blocker part-hash: ${path} is damaged: its hash does not match the manifest`,
    ]);
  }
});

test("parts that changed places are both named", async () => {
  const folder = copy();
  const [aa, ab] = [join(folder, `${MEDIA}.part-aa`), join(folder, `${MEDIA}.part-ab`)];
  renameSync(aa, `${aa}.x`);
  renameSync(ab, aa);
  renameSync(`${aa}.x`, ab);
  assert.deepEqual(
    (await looked(folder)).map((line) => line.split(": ")[0]),
    ["blocker part-hash", "blocker part-hash"],
  );
});

test("a part too many is warned of, as it would spoil what is joined by hand", async () => {
  const folder = copy();
  writeFileSync(join(folder, `${MEDIA}.part-zz`), "x");
  writeFileSync(
    join(folder, `${MEDIA}.part-notes.txt`),
    "cat does not take it for a part of its own, and neither do we",
  );
  assert.deepEqual(await looked(folder), [
    `warning part-unexpected: ${folder}/${MEDIA}.part-zz is named like a part of this bundle, but is not one`,
  ]);
});

test("somebody who changes a file and its hash in the manifest is found out by whoever has the key", async () => {
  const folder = copy();
  const path = join(folder, `${DUMP}.part-aa`);
  const other = flipped(readFileSync(path), 100);
  writeFileSync(path, other);
  const sha256 = createHash("sha256").update(other).digest("hex");
  editManifest(folder, ({ artifacts }) => {
    Object.assign(artifacts[0]!, { sha256 });
    Object.assign(artifacts[0]!.parts[0]!, { sha256 });
  });
  assert.deepEqual(await looked(folder), [], "without the key nobody can tell");
  const bundle = await openBundle(folder);
  assert.deepEqual(
    verifyManifest(bundle, await bundle.inventory(lock)).map(({ id, level }) => `${level} ${id}`),
    ["blocker manifest-mismatch"],
  );
});

test("a manifest that leaves out an artifact, or calls a rehearsal a move, is found out by whoever has the key", async () => {
  for (const edit of [
    (manifest: Manifest) => ({ ...manifest, rehearsal: true }),
    (manifest: Manifest) => ({ ...manifest, artifacts: manifest.artifacts.slice(1) }),
    (manifest: Manifest) => ({ ...manifest, artifacts: [] }),
  ]) {
    const folder = copy();
    editManifest(folder, edit);
    const bundle = await openBundle(folder);
    assert.equal(verifyManifest(bundle, await bundle.inventory(lock))[0]?.id, "manifest-mismatch");
  }
});

test("the inventory of another bundle is refused", async () => {
  const folder = copy();
  editManifest(folder, (manifest) => ({ ...manifest, id: "another" }));
  await assert.rejects((await openBundle(folder)).inventory(lock), {
    code: "bundle-damaged",
    message: /is the inventory of another bundle/,
  });
});

test("damage inside an artifact is found by its contents too, and by its name", async () => {
  const folder = copy();
  const path = join(folder, `${MEDIA}.part-ab`);
  writeFileSync(path, flipped(readFileSync(path), 1000));
  const bundle = await openBundle(folder);
  const found = await verifyContents(bundle, await bundle.inventory(lock), lock, noProgress);
  assert.deepEqual(
    found.map(({ id, level }) => `${level} ${id}`),
    ["ok contents", "blocker contents"],
  );
  assert.match(found[1]!.sentence, new RegExp(`^${MEDIA}: `));
});

test("a few bytes that unpack to more than was packed are stopped there, before they fill a disk", async () => {
  const folder = temporaryFolder("bomb");
  const zeros = (async function* () {
    for (let times = 0; times < 64; times++) yield await Promise.resolve(new Uint8Array(1024 * 1024));
    yield Buffer.from(DUMP_TEXT);
  })();
  await makeSmallBundle({ folder, lock });
  const bundle = await openBundle(folder);
  const { parts, size, sha256 } = await writerIn(folder, lock).add(DUMP_PLAN, zeros);
  assert.ok(size < 1024 * 1024, "64 MiB are small as long as they are packed");
  const artifact = { name: DUMP, format: "sql" as const, size, sha256, parts: [...parts] };
  let out = 0;
  const reading = async () => {
    const packed = { size: 1024 * 1024, sha256: "0".repeat(64) };
    for await (const chunk of bundle.decrypted(artifact, lock, packed)) out += chunk.length;
  };
  await assert.rejects(reading, {
    code: "bundle-damaged",
    message: /^customer_db_export.*larger than the 1048576/,
  });
  assert.ok(out <= 1024 * 1024);
});

const MANIFESTS = [
  [
    "a newer format",
    { version: 3, anything: "else" },
    "bundle-too-new",
    /format version 3, this synlift reads up to version 2/,
  ],
  ["another format", { format: "other" }, "bundle-damaged", /is not a manifest/],
  ["no artifacts", { artifacts: undefined }, "bundle-damaged", /artifacts/],
] as const;

test("a manifest that this version cannot read is refused, and a newer one is told from a damaged one", async () => {
  for (const [what, change, code, message] of MANIFESTS) {
    const folder = copy();
    editManifest(folder, (manifest) => ({ ...manifest, ...change }));
    await assert.rejects(openBundle(folder), { code, message }, what);
  }
  for (const text of ["", "{", "[]", readFileSync(join(good, "manifest.json"), "utf8").slice(0, -10)]) {
    const folder = copy();
    writeFileSync(join(folder, "manifest.json"), text);
    await assert.rejects(openBundle(folder), { code: "bundle-damaged" });
  }
});

test("a manifest whose names lead out of the folder, stand twice or do not add up is refused", async () => {
  for (const name of ["../../etc/passwd", "/etc/passwd", "a/b", "..", ".hidden", "", "a\0b", "-rf", "a\nb"]) {
    const folder = copy();
    editManifest(folder, ({ artifacts }) => void Object.assign(artifacts[0]!.parts[0]!, { name }));
    await assert.rejects(openBundle(folder), { code: "bundle-damaged" }, name);
  }
  const twice = copy();
  editManifest(
    twice,
    ({ artifacts }) => void Object.assign(artifacts[1]!.parts[0]!, { name: artifacts[0]!.parts[0]!.name }),
  );
  await assert.rejects(openBundle(twice), { code: "bundle-damaged", message: /twice/ });
  const sizes = copy();
  editManifest(sizes, ({ artifacts }) => void Object.assign(artifacts[0]!, { size: 1 }));
  await assert.rejects(openBundle(sizes), { code: "bundle-damaged", message: /do not add up/ });
});

test("without a manifest it is no bundle, and without a folder it is nothing", async () => {
  const folder = copy();
  rmSync(join(folder, "manifest.json"));
  await assert.rejects(openBundle(folder), { code: "bundle-incomplete", message: /no manifest.json/ });
  await assert.rejects(openBundle(join(folder, "nowhere")), { code: "file-missing" });
});

test("a wrong passphrase is said to be wrong, and not that the bundle is damaged", async () => {
  const bundle = await openBundle(good);
  const wrong = lockWith("wrong");
  await assert.rejects(bundle.inventory(wrong), { code: "passphrase-wrong" });
  await assert.rejects(verifyContents(bundle, await bundle.inventory(lock), wrong, noProgress), {
    code: "passphrase-wrong",
  });
});
