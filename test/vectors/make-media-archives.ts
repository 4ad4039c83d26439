// Made the rest of test/vectors/media-archive, once: node test/vectors/make-media-archives.ts. It refuses to run again.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { item, packed, uploadNamed } from "../homeserver/media/archive/uploads.ts";
import { flipped, noise } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const root = fileURLToPath(new URL("media-archive/", import.meta.url));
const PART = "export-part-1.tgz";
const MANIFEST = "export-manifest.tgz";

interface Manifest {
  version: number;
  entity_id?: string;
  media?: Record<string, Record<string, unknown>> | null;
}

process.umask(0o022);
expect("go-v2", { code: null, records: 5 });
expect("go-v1", { code: null, records: 5 });

const ours = folderOf("ours-v2", { code: null, records: 6, unknown: 1 });
const [archive] = await packed(
  [
    item(uploadNamed("AAAAAAAAAAAAAAAAAAAAAAAA"), noise(700)),
    item(uploadNamed("aaaaaaaaaaaaaaaaaaaaaaaa"), noise(700, 2)),
    item(uploadNamed("BBBBBBBBBBBBBBBBBBBBBBBB", { name: "../../etc/passwd\n\u202e<&>", userId: "@eve:far.example" }), ""),
    item(uploadNamed("CCCCCCCCCCCCCCCCCCCCCCCC", { quarantinedBy: "@admin:example.org", authenticated: true }), "bad"),
    item(uploadNamed("DDDDDDDDDDDDDDDDDDDDDDDD"), "", { size: 900 }),
    item(uploadNamed("E".repeat(120)), "an upload with a long id\n"),
    item(uploadNamed("FFFFFFFFFFFFFFFFFFFFFFFF", { name: null, userId: null, contentType: null }), noise(513, 3)),
  ],
  { part: 1000 },
);
execFileSync("tar", ["-xf", "-", "--strip-components=1", "-C", ours], { input: archive!.bytes });

// What their reader takes, and other writers make.
vector("members-and-names", { code: null, records: 6, unknown: 2 }, (folder) => {
  // Many gzip members; GNU's long names; entries for folders; names with folders.
  const files = temporaryFolder("gnu");
  const long = `${"n".repeat(60)}/${"m".repeat(90)}`;
  edit(folder, ({ media }) => {
    const record = media!["mxc://example.org/AAAAAAAAAAAAAAAAAAAAAAAA"]!;
    mkdirSync(join(files, "n".repeat(60)));
    writeFileSync(join(files, long), noise(700));
    record["file_name"] = long;
  });
  const tar = execFileSync("tar", ["--format=gnu", "-cf", "-", "n".repeat(60)], { cwd: files });
  const members = [tar.subarray(0, 100), tar.subarray(100, 1500), tar.subarray(1500)];
  writeFileSync(join(folder, "export-part-9.tgz"), Buffer.concat(members.map((member) => gzipSync(member))));
});
vector("stale-part", { code: null, records: 6, unknown: 2 }, (folder) => {
  // Left by an earlier, larger export; an entry that is there twice counts the first time.
  const files = temporaryFolder("stale");
  writeFileSync(join(files, "1-AAAAAAAAAAAAAAAAAAAAAAAA"), "of an earlier export");
  writeFileSync(join(files, "99-of-an-earlier-export"), "x");
  const tar = execFileSync("tar", ["-cf", "-", "--format=pax", "1-AAAAAAAAAAAAAAAAAAAAAAAA", "99-of-an-earlier-export"], { cwd: files });
  writeFileSync(join(folder, "export-part-9.tgz"), gzipSync(tar));
});
vector("one-file-of-two", { code: null, records: 7, unknown: 1 }, (folder) => {
  edit(folder, ({ media }) => {
    const record = media!["mxc://example.org/AAAAAAAAAAAAAAAAAAAAAAAA"]!;
    media!["mxc://example.org/ZZZZZZZZZZZZZZZZZZZZZZZZ"] = { ...record, media_id: "ZZZZZZZZZZZZZZZZZZZZZZZZ" };
  });
});
vector("stray-files", { code: null, records: 6, unknown: 1, stray: ["media-repo.yaml"] }, (folder) => {
  writeFileSync(join(folder, "media-repo.yaml"), "repo: {}\n");
  mkdirSync(join(folder, "logs"));
  writeFileSync(join(folder, "logs/media_repo.log"), "x\n");
});
vector("all-in-one", { code: null, records: 1 }, (folder) => {
  const text = manifestIn(folder);
  const only = "mxc://example.org/CCCCCCCCCCCCCCCCCCCCCCCC";
  const manifest = JSON.parse(text) as Manifest;
  const record = manifest.media![only]!;
  for (const name of ["export-part-1.tgz", "export-part-2.tgz", "export-part-3.tgz", MANIFEST]) rmSync(join(folder, name), { force: true });
  const files = temporaryFolder("one");
  writeFileSync(join(files, String(record["file_name"])), "bad");
  writeFileSync(join(files, "manifest.json"), JSON.stringify({ ...manifest, media: { [only]: record }, later: 1 }));
  const tar = execFileSync("tar", ["-cf", "-", String(record["file_name"]), "manifest.json"], { cwd: files });
  writeFileSync(join(folder, "anything.tgz"), gzipSync(tar));
});

// What is wrong with one record.
record("wrong-hash", { records: 5, wrong: ["AAAAAAAAAAAAAAAAAAAAAAAA"], unknown: 1 }, (one) => {
  one["sha256"] = createHash("sha256").update("other").digest("hex");
});
record("wrong-size", { records: 5, wrong: ["AAAAAAAAAAAAAAAAAAAAAAAA"], unknown: 1 }, (one) => {
  one["size_bytes"] = 699;
});
record("file-missing", { records: 5, missing: ["AAAAAAAAAAAAAAAAAAAAAAAA"], unknown: 2 }, (one) => {
  one["file_name"] = "1-of-another";
});
record("key-of-another", { records: 5, refused: ["mxc://example.org/AAAAAAAAAAAAAAAAAAAAAAAA"], unknown: 2 }, (one) => {
  one["media_id"] = "../../../../etc/passwd";
});
record("hash-of-no-kind", { records: 5, refused: ["mxc://example.org/AAAAAAAAAAAAAAAAAAAAAAAA"], unknown: 2 }, (one) => {
  one["sha256"] = "../x";
});

// What is wrong with all of it.
const damaged = { code: "archive-damaged" };
record("fraction", damaged, (one) => {
  one["created_ts"] = 1690000000000.5;
});
record("negative-size", damaged, (one) => {
  one["size_bytes"] = -1;
});
vector("no-manifest", damaged, (folder) => {
  rmSync(join(folder, MANIFEST));
});
vector("manifest-with-dot", damaged, (folder) => {
  const files = temporaryFolder("dot");
  writeFileSync(join(files, "manifest.json"), manifestIn(folder));
  writeFileSync(join(folder, MANIFEST), execFileSync("tar", ["-czf", "-", "."], { cwd: files }));
});
vector("manifest-no-json", damaged, (folder) => {
  writeManifest(folder, manifestIn(folder).slice(0, -10));
});
for (const [name, change] of Object.entries<(manifest: Manifest) => void>({
  "version-3": (manifest) => (manifest.version = 3),
  "no-entity": (manifest) => (manifest.entity_id = ""),
  "no-media": (manifest) => (manifest.media = null),
}))
  vector(name, damaged, (folder) => {
    edit(folder, change);
  });
vector("part-not-gzip", damaged, (folder) => {
  writeFileSync(join(folder, PART), gunzipSync(readFileSync(join(folder, PART))));
});
vector("part-cut", damaged, (folder) => {
  const bytes = readFileSync(join(folder, PART));
  writeFileSync(join(folder, PART), bytes.subarray(0, bytes.length / 2));
});
vector("tar-cut", damaged, (folder) => {
  const bytes = gunzipSync(readFileSync(join(folder, PART)));
  writeFileSync(join(folder, PART), gzipSync(bytes.subarray(0, 1000)));
});
vector("byte-flipped", damaged, (folder) => {
  // In the bytes of an upload, which stand there as they are: only gzip's own sum tells.
  const bytes = readFileSync(join(folder, PART));
  writeFileSync(join(folder, PART), flipped(bytes, 15 + 512 + 100));
});

function folderOf(name: string, expected: object): string {
  expect(name, expected);
  const folder = join(root, name, "archive");
  mkdirSync(folder);
  return folder;
}

function expect(name: string, expected: object): void {
  const path = join(root, name, "expected.json");
  if (existsSync(path)) throw new Error(`${path} is there already: a vector is never made again, only added to`);
  mkdirSync(join(root, name), { recursive: true });
  writeFileSync(path, `${JSON.stringify(expected, null, 2)}\n`);
}

function vector(name: string, expected: object, damage: (folder: string) => void): void {
  const folder = folderOf(name, expected);
  cpSync(ours, folder, { recursive: true });
  damage(folder);
}

function record(name: string, expected: object, change: (record: Record<string, unknown>) => void): void {
  vector(name, { code: null, ...expected }, (folder) => {
    edit(folder, ({ media }) => {
      change(media!["mxc://example.org/AAAAAAAAAAAAAAAAAAAAAAAA"]!);
    });
  });
}

function manifestIn(folder: string): string {
  return execFileSync("tar", ["-xzOf", join(folder, MANIFEST), "manifest.json"], { encoding: "utf8" });
}

function writeManifest(folder: string, text: string): void {
  const files = temporaryFolder("manifest");
  writeFileSync(join(files, "manifest.json"), text);
  writeFileSync(join(folder, MANIFEST), execFileSync("tar", ["-czf", "-", "manifest.json"], { cwd: files }));
}

function edit(folder: string, change: (manifest: Manifest) => void): void {
  const manifest = JSON.parse(manifestIn(folder)) as Manifest;
  change(manifest);
  writeManifest(folder, JSON.stringify(manifest));
}
