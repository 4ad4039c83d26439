// Made test/vectors/v1, once: node test/vectors/make.ts. It refuses to run again, as what is there must open for ever.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Manifest } from "../../src/bundle/manifest.ts";
import { flipped } from "../support/bytes.ts";
import { lockWith, programsWith } from "../support/real-world.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";

const PASSPHRASE = "these vectors must open for ever";
const DUMP = "customer_db_export.sql.gz.gpg";
const MEDIA = "customer_backup_media_export.tar.gz.gpg";

const root = fileURLToPath(new URL("v1/", import.meta.url));
if (existsSync(root)) throw new Error(`${root} is there already: a vector is never made again, only added to`);

process.umask(0o022);
const lock = lockWith(PASSPHRASE, programsWith());
const good = vector("good", { code: null });
await makeSmallBundle({ folder: good, lock, partSize: 600, mediaSize: 700 });

vector("part-missing", { code: "bundle-damaged", finding: "part-missing" }, (folder) => {
  rmSync(join(folder, `${MEDIA}.part-aa`));
});
vector("part-cut-short", { code: "bundle-damaged", finding: "part-size" }, (folder) => {
  truncateSync(join(folder, `${MEDIA}.part-aa`), 599);
});
vector("byte-flipped", { code: "bundle-damaged", finding: "part-hash" }, (folder) => {
  change(join(folder, `${DUMP}.part-aa`), (bytes) => flipped(bytes, 120));
});
vector("parts-swapped", { code: "bundle-damaged", finding: "part-hash" }, (folder) => {
  const [aa, ab] = [join(folder, `${MEDIA}.part-aa`), join(folder, `${MEDIA}.part-ab`)];
  const first = readFileSync(aa);
  writeFileSync(aa, readFileSync(ab));
  writeFileSync(ab, first);
});
vector("manifest-mismatch", { code: "bundle-damaged", finding: "manifest-mismatch" }, (folder) => {
  const path = join(folder, `${DUMP}.part-aa`);
  change(path, (bytes) => flipped(bytes, 120));
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  edit(folder, ({ artifacts }) => {
    Object.assign(artifacts[0]!, { sha256 });
    Object.assign(artifacts[0]!.parts[0]!, { sha256 });
  });
});
vector("rehearsal-called-move", { code: "bundle-damaged", finding: "manifest-mismatch" }, (folder) => {
  edit(folder, (manifest) => {
    manifest.rehearsal = true;
  });
});
vector("path-in-a-name", { code: "bundle-damaged" }, (folder) => {
  edit(folder, ({ artifacts }) => {
    artifacts[0]!.parts[0]!.name = "../../etc/passwd";
  });
});
vector("newer-format", { code: "bundle-too-new" }, (folder) => {
  edit(folder, (manifest) => {
    Object.assign(manifest, { version: 2 });
  });
});
vector("manifest-torn", { code: "bundle-damaged" }, (folder) => {
  change(join(folder, "manifest.json"), (bytes) => bytes.subarray(0, bytes.length / 2));
});
vector("no-manifest", { code: "bundle-incomplete" }, (folder) => {
  rmSync(join(folder, "manifest.json"));
});
vector("inventory-flipped", { code: "bundle-damaged" }, (folder) => {
  change(join(folder, "inventory.json.gpg"), (bytes) => flipped(bytes, bytes.length - 40));
});

function vector(name: string, expected: object, damage?: (folder: string) => void): string {
  const folder = join(root, name, "bundle");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(root, name, "expected.json"), `${JSON.stringify(expected, null, 2)}\n`);
  if (damage) {
    cpSync(good, folder, { recursive: true });
    damage(folder);
  }
  return folder;
}

function change(path: string, edited: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, edited(readFileSync(path)));
}

function edit(folder: string, edited: (manifest: Manifest) => void): void {
  change(join(folder, "manifest.json"), (bytes) => {
    const manifest = JSON.parse(bytes.toString()) as Manifest;
    edited(manifest);
    return Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  });
}
