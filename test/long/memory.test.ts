import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

// Whatever the size, packing takes no more than 300 MB of memory, and no disk but the bundle's own.

const PACK = fileURLToPath(new URL("../support/pack-folder.ts", import.meta.url));
const MOST = 300e6 / 1024 ** 2;

interface Packed {
  readonly peak: number;
  readonly count: number;
}

/** Packs a folder, and lists meanwhile what else is on the disk. */
async function packed(folder: string): Promise<Packed> {
  const bundle = temporaryFolder("bundle");
  const temporary = temporaryFolder("beside");
  const child = spawn(process.execPath, [PACK, folder, bundle], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const seen = new Set<string>();
  const look = setInterval(() => {
    for (const name of [...readdirSync(temporary), ...readdirSync(bundle)]) seen.add(name);
  }, 50);
  const [code] = (await once(child, "close")) as [number];
  clearInterval(look);
  assert.equal(code, 0);
  for (const name of seen) {
    // A home for gpg without a file in it, the folder of a pipe for a moment, and the artifact on its way.
    assert.match(name, /^(synlift-(gpg|pipe)-.*|(\.)?media\.tar\.gz\.gpg(\.unfinished)?)$/);
  }
  assert.deepEqual(readdirSync(bundle), ["media.tar.gz.gpg"]);
  return JSON.parse(said) as Packed;
}

/** As Synapse keeps them: two levels of folders. */
function manyFiles(number: number): string {
  const folder = temporaryFolder("many");
  for (let at = 0; at < number; at += 1) {
    const below = join(folder, `a${at % 256}`, `b${Math.floor(at / 256) % 16}`);
    if (at < 256 * 16) mkdirSync(below, { recursive: true });
    writeFileSync(join(below, `${at}`), "an upload of a few bytes");
  }
  return folder;
}

test("three times as many files take no more memory than what waits for the garbage collector", async (t) => {
  const few = await packed(manyFiles(20_000));
  const many = await packed(manyFiles(60_000));
  t.diagnostic(`${few.peak.toFixed(0)} MiB and ${many.peak.toFixed(0)} MiB`);
  assert.deepEqual([few.count, many.count], [20_000, 60_000]);
  assert.ok(many.peak < few.peak + 50, `${few.peak} MiB, then ${many.peak} MiB`);
  assert.ok(many.peak < MOST);
});

test("neither does a file of four gigabytes", async (t) => {
  const folder = temporaryFolder("large");
  writeFileSync(join(folder, "file"), "");
  truncateSync(join(folder, "file"), 4 * 1024 ** 3);
  const { peak } = await packed(folder);
  t.diagnostic(`${peak.toFixed(0)} MiB`);
  assert.ok(peak < MOST, `${peak} MiB`);
});
