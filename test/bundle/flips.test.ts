import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { verifyContents, verifyManifest, verifyParts } from "../../src/bundle/verify.ts";
import { MigrationError } from "../../src/errors.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import { noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { makeSmallBundle, openBundle } from "../support/small-bundle.ts";

// One bit, anywhere. Where: the same in each run, and spread over every region of every file.

const lock = lockWith();
let folder: string;
let sealed: string[];

before(async () => {
  folder = temporaryFolder("flips");
  await makeSmallBundle({ folder, lock, partSize: 1500, mediaSize: 9000 });
  sealed = readdirSync(folder).filter((name) => name.includes(".gpg"));
});

/** Offsets in each tenth of a file, its first and its last byte among them. */
function placesIn(size: number, perRegion: number): number[] {
  const random = noise(10 * perRegion * 4, size);
  const places = Array.from({ length: 10 * perRegion }, (_, index) => {
    const region = Math.floor(index / perRegion);
    const [from, to] = [Math.floor((region * size) / 10), Math.floor(((region + 1) * size) / 10)];
    return from + (random.readUInt32LE(index * 4) % Math.max(1, to - from));
  });
  return [...new Set([0, ...places, size - 1])];
}

/** Does something while one bit of a file is turned over. */
async function whileFlipped(path: string, at: number, act: () => Promise<void>): Promise<void> {
  const good = readFileSync(path);
  const bad = Buffer.from(good);
  bad[at]! ^= 1 << (at % 8);
  writeFileSync(path, bad);
  await act().finally(() => {
    writeFileSync(path, good);
  });
}

test("a bit that was turned over anywhere in a part or in the inventory is found without a key, and the file is named", async () => {
  let flips = 0;
  for (const name of sealed) {
    const path = join(folder, name);
    for (const at of placesIn(readFileSync(path).length, 6)) {
      flips += 1;
      await whileFlipped(path, at, async () => {
        const found = (await verifyParts(await openBundle(folder), files, noProgress)).filter(
          ({ level }) => level === "blocker",
        );
        assert.deepEqual(
          found.map(({ sentence }) => sentence),
          [`${path} is damaged: its hash does not match the manifest`],
          `byte ${at} of ${name}`,
        );
      });
    }
  }
  assert.ok(flips >= 300, `${flips} flips`);
});

test("a bit of the manifest is found too: what it says is refused, or the encrypted inventory says otherwise", async () => {
  const path = join(folder, "manifest.json");
  const text = readFileSync(path, "utf8");
  const inventory = await (await openBundle(folder)).inventory(lock);
  // Which program made it is for people, and stands nowhere else.
  const told = text.indexOf('"program"');
  const free = [told, text.indexOf("\n", told)] as const;
  let unseen = 0;
  for (const at of placesIn(text.length, 12)) {
    if (at >= free[0] && at <= free[1]) continue;
    await whileFlipped(path, at, async () => {
      try {
        const bundle = await openBundle(folder);
        const found = [
          ...(await verifyParts(bundle, files, noProgress)),
          ...verifyManifest(bundle, inventory),
        ];
        const same = isSameValue(text, readFileSync(path, "utf8")) || bundle.manifest.id !== inventory.id;
        if (same) unseen += 1;
        else
          assert.ok(
            found.some(({ level }) => level !== "ok"),
            `byte ${at}: ${text.slice(at - 20, at + 20)}`,
          );
      } catch (error) {
        assert.ok(error instanceof MigrationError && /^bundle-/.test(error.code), String(error));
      }
    });
  }
  assert.ok(
    unseen < 40,
    `${unseen} flips changed nothing but blanks, or the id, which opening the inventory compares`,
  );
});

function isSameValue(one: string, other: string): boolean {
  try {
    return JSON.stringify(JSON.parse(one)) === JSON.stringify(JSON.parse(other));
  } catch {
    return false;
  }
}

test("whoever turns a bit and the hashes with it is found out when the artifact is opened, by its name", async () => {
  const copy = temporaryFolder("flips");
  cpSync(folder, copy, { recursive: true });
  const bundle = await openBundle(copy);
  const inventory = await bundle.inventory(lock);
  for (const { name, parts } of bundle.manifest.artifacts) {
    for (const part of parts.slice(0, 3)) {
      for (const at of placesIn(part.size, 1).slice(0, 8)) {
        await whileFlipped(join(copy, part.name), at, async () => {
          const found = await verifyContents(bundle, inventory, lock, noProgress).catch((error: unknown) => {
            // A message whose first bytes are damaged may look like one for another passphrase.
            assert.ok(error instanceof MigrationError && error.code === "passphrase-wrong", String(error));
            assert.ok(part === parts[0] && at < 80, `byte ${at} of ${part.name}`);
            return [];
          });
          const wrong = found.filter(({ level }) => level === "blocker");
          if (found.length > 0) {
            assert.equal(wrong.length, 1, `byte ${at} of ${part.name}`);
            assert.match(wrong[0]!.sentence, new RegExp(name.replaceAll(".", "\\.")));
          }
        });
      }
    }
  }
});
