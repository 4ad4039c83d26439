import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Inventory } from "../../src/bundle/inventory.ts";
import { seal } from "../../src/bundle/seal.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { matchesGolden } from "../report/golden.ts";
import { flipped, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, PASSPHRASE } from "../support/real-world.ts";
import { DUMP, makeSmallBundle, still } from "../support/small-bundle.ts";

const lock = lockWith();
let inParts: string;
let whole: string;

before(async () => {
  [inParts, whole] = [temporaryFolder("bundle"), temporaryFolder("bundle")];
  await makeSmallBundle({ folder: inParts, lock, partSize: 1500 });
  await makeSmallBundle({ folder: whole, lock, rehearsal: true });
});

const opening = (folder: string) => readFileSync(join(folder, "OPENING.txt"), "utf8");

test("the text that tells how to open it by hand is the one we looked at", () => {
  matchesGolden("opening-parts.txt", opening(inParts));
  matchesGolden("opening-whole-rehearsal.txt", opening(whole));
});

/** Runs a command out of the text, as a person would who pasted it. */
function pasted(text: string, bundle: string, folder: string): Buffer {
  const home = temporaryFolder("person");
  writeFileSync(join(home, "P"), `${PASSPHRASE}\n`, { mode: 0o600 });
  const command = text
    .replaceAll("--passphrase-file P", `--passphrase-file ${home}/P`)
    .replace("| tar -xzf -", `| tar -xzf - -C ${folder}`);
  try {
    return execFileSync("bash", ["-c", `set -euo pipefail; umask 077; ${command}`], {
      cwd: bundle,
      env: { PATH: process.env["PATH"], GNUPGHOME: home },
      stdio: ["ignore", "pipe", "ignore"],
    });
  } finally {
    execFileSync("gpgconf", ["--homedir", home, "--kill", "all"]);
  }
}

test("what the text says works when it is pasted, in parts and whole", () => {
  for (const folder of [inParts, whole]) {
    const lines = opening(folder)
      .replaceAll("\\\n", "")
      .split("\n")
      .map((line) => line.trim());
    const [sums, dump, media, counted] = ["sha256sum", "gunzip", "tar -xzf", "inventory.json.gpg"].map(
      (word) => lines.find((line) => line.includes(word) && /^(sha256sum|cat|gpg) /.test(line))!,
    );
    assert.match(pasted(sums!, folder, "/").toString(), /OPENING.txt: OK/);
    assert.equal(pasted(dump!.replace(/\| psql .*/, ""), folder, "/").toString(), DUMP);
    const unpacked = temporaryFolder("unpacked");
    pasted(media!, folder, unpacked);
    assert.ok(noise(5000).equals(readFileSync(join(unpacked, "local_content/aa/bb/ccdd"))));
    assert.match(pasted(counted!, folder, "/").toString(), /"public.events":7/);
  }
});

test("sha256sum itself finds the bundle intact, and finds a changed byte", async () => {
  const said = execFileSync("sha256sum", ["-c", "SHA256SUMS"], { cwd: inParts, encoding: "utf8" });
  const names = readdirSync(inParts).filter((name) => !["manifest.json", "SHA256SUMS"].includes(name));
  const told = said.trim().split("\n").sort();
  assert.deepEqual(told, names.map((name) => `${name}: OK`).sort());
  const folder = temporaryFolder("bundle");
  await makeSmallBundle({ folder, lock });
  writeFileSync(
    join(folder, "inventory.json.gpg"),
    flipped(readFileSync(join(folder, "inventory.json.gpg")), 50),
  );
  assert.throws(() => execFileSync("sha256sum", ["-c", "SHA256SUMS"], { cwd: folder, stdio: "pipe" }));
});

test("everything in a bundle is private, and nothing unencrypted reveals what was counted", () => {
  for (const name of readdirSync(inParts)) {
    assert.equal(statSync(join(inParts, name)).mode & 0o777, 0o600, name);
    const content = readFileSync(join(inParts, name), "latin1");
    assert.doesNotMatch(content, /public\.events|must not be seen|correct horse|salt/, name);
  }
});

test("the manifest is what the format says", () => {
  const manifest = JSON.parse(readFileSync(join(inParts, "manifest.json"), "utf8")) as Record<
    string,
    unknown
  >;
  assert.deepEqual(Object.keys(manifest), [
    "format",
    "version",
    "id",
    "created",
    "program",
    "subject",
    "rehearsal",
    "outageSince",
    "encryption",
    "artifacts",
    "inventory",
  ]);
  assert.equal(manifest["created"], "2026-01-02T03:04:05.000Z");
});

test("a bundle is sealed after it was begun and after an earlier seal, also when the clock was set back", async () => {
  const folder = temporaryFolder("sealed");
  const inventory = Inventory.begin(still, false);
  const sealAt = (now: number) =>
    seal({
      folder,
      inventory,
      keys: lock,
      files: realFiles,
      subject: "example.org",
      program: "synlift 0.1.0",
      outageSince: null,
      now,
      afterwards: "",
    });
  const begun = still.now();
  assert.equal((await sealAt(begun - 7_200_000)).sealed, new Date(begun).toISOString());
  assert.equal((await sealAt(begun - 7_200_000)).sealed, new Date(begun + 1).toISOString());
  assert.equal((await sealAt(begun + 5)).sealed, new Date(begun + 5).toISOString());
});
