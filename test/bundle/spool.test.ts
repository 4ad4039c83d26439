import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { type Header, pack } from "tar-stream";
import { removeSpool, spoolBundle } from "../../src/bundle/spool.ts";
import type { Bytes } from "../../src/pipeline/transform.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { chunked } from "../support/bytes.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith } from "../support/real-world.ts";
import { makeSmallBundle, openBundle } from "../support/small-bundle.ts";

let bundle: string;
const names = () => readdirSync(bundle).sort();
const NEEDED = (name: string) => name === "manifest.json" || name.endsWith(".gpg") || name.includes(".part-");

before(async () => {
  bundle = temporaryFolder("sent");
  await makeSmallBundle({ folder: bundle, lock: lockWith(), partSize: 2000 });
});

interface Sent {
  readonly name: string;
  readonly content?: Uint8Array | undefined;
  readonly header?: Partial<Header>;
}

const whole = (order = names()): Sent[] =>
  order.map((name) => ({ name: `move/${name}`, content: readFileSync(join(bundle, name)) }));

async function* archive(sent: readonly Sent[]): Bytes {
  const stream = pack();
  for (const { name, content, header } of sent) stream.entry({ name, ...header }, Buffer.from(content ?? ""));
  stream.finalize();
  for await (const chunk of stream) yield chunk as Uint8Array;
}

const spoolIn = (name: string) => join(temporaryFolder("spool"), name);
const spool = (source: Bytes, folder = spoolIn("in")) =>
  spoolBundle(source, folder, { files: realFiles, tell: () => undefined });

const manifestFirst = () => ["manifest.json", ...names().filter((name) => name !== "manifest.json")];
const manifestLast = () => [...names().filter((name) => name !== "manifest.json"), "manifest.json"];

for (const order of [manifestFirst, manifestLast]) {
  test(`a bundle is written down as it comes, private, and without what no reader needs: ${order.name}`, async () => {
    const folder = spoolIn("in");
    const also = { name: "move/journal.json", content: Buffer.from("{}") };
    await spool(archive([{ name: "move/", header: { type: "directory" } }, also, ...whole(order())]), folder);
    const kept = names().filter(NEEDED);
    assert.deepEqual(readdirSync(folder).sort(), [".synlift-spool", ...kept].sort());
    for (const name of kept)
      assert.deepEqual(readFileSync(join(folder, name)), readFileSync(join(bundle, name)));
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(statSync(join(folder, kept[0]!)).mode & 0o777, 0o600);
    assert.equal((await openBundle(folder)).manifest.subject, "example.org");
    await removeSpool(folder, realFiles);
    assert.throws(() => statSync(folder), { code: "ENOENT" });
  });
}

test("what no bundle contains is refused by name, and nothing is written outside the folder", async () => {
  const part = names().find((name) => name.endsWith(".part-aa"))!;
  const data = Buffer.from("x");
  for (const [sent, words] of [
    [[{ name: `../${part}`, content: data }], /is not a file name of a bundle/],
    [[{ name: `move/../../${part}`, content: data }], /is not a file name of a bundle/],
    [[{ name: `/etc/${part}`, content: data }], /is not a file name of a bundle/],
    [[{ name: `a/b/${part}`, content: data }], /is not a file name of a bundle/],
    [[{ name: `move/${part}`, header: { type: "symlink", linkname: "/etc/passwd" } }], /link or a device/],
    [[{ name: `move/${part}`, header: { type: "link", linkname: "/etc/passwd" } }], /link or a device/],
    [[{ name: "move/null", header: { type: "character-device" } }], /link or a device/],
    [[{ name: "move/more", header: { type: "directory" } }], /contains a folder/],
    [[...whole(["manifest.json", part]), ...whole([part])], /twice$/],
    [
      [...whole(["manifest.json"]), { name: "move/other.tar.gz.gpg", content: data }],
      /manifest does not list/,
    ],
    [
      [...whole(["manifest.json"]), { name: `move/${part}`, content: data }],
      /has 1 bytes, but \d+ according to the manifest/,
    ],
    [[{ name: "move/manifest.json", content: new Uint8Array(17 * 1024 * 1024) }], /too large for a manifest/],
  ] as [Sent[], RegExp][]) {
    const folder = spoolIn("in");
    await assert.rejects(spool(archive(sent), folder), { code: "bundle-damaged", message: words });
    assert.deepEqual(readdirSync(join(folder, "..")), ["in"]);
  }
});

test("a part whose hash is wrong is caught as it comes, and a stream that is cut off is no bundle", async () => {
  const part = names().find((name) => name.endsWith(".part-aa"))!;
  const damaged = readFileSync(join(bundle, part));
  damaged[100]! ^= 1;
  const sent = [...whole(["manifest.json"]), { name: `move/${part}`, content: damaged }];
  await assert.rejects(spool(archive(sent)), { code: "bundle-damaged", message: /hash does not match/ });
  const bytes: Uint8Array[] = [];
  for await (const chunk of archive(whole())) bytes.push(chunk);
  const all = Buffer.concat(bytes);
  for (const end of [0, 700, all.length - 1500, all.length - 600])
    await assert.rejects(spool(chunked(all.subarray(0, end))), { code: "bundle-damaged" });
});

test("a part that is larger than the disk is refused before it is written", async () => {
  const header = { size: 5000 };
  const sent = [{ name: "move/customer_db_export.sql.gz.gpg", content: new Uint8Array(5000), header }];
  const files = {
    ...realFiles,
    diskSpace: () => Promise.resolve({ free: 4999, total: 1, kind: "disk" as const }),
  };
  const folder = spoolIn("in");
  await assert.rejects(spoolBundle(archive(sent), folder, { files, tell: () => undefined }), {
    code: "disk-full",
  });
  assert.deepEqual(readdirSync(folder), [".synlift-spool"]);
});

test("a folder that holds something else is left alone, and what a killed run left is begun anew", async () => {
  const folder = temporaryFolder("occupied");
  writeFileSync(join(folder, "manifest.json"), "mine");
  await assert.rejects(spool(archive(whole()), folder), { code: "target-not-empty" });
  await removeSpool(folder, realFiles);
  assert.equal(readFileSync(join(folder, "manifest.json"), "utf8"), "mine");
  const link = spoolIn("link");
  symlinkSync(temporaryFolder("elsewhere"), link);
  await assert.rejects(spool(archive(whole()), link), { code: "target-not-empty" });

  const left = temporaryFolder("left");
  writeFileSync(join(left, ".synlift-spool"), "");
  writeFileSync(join(left, ".customer_db_export.sql.gz.gpg.unfinished"), "half");
  writeFileSync(join(left, "old.tar.gz.gpg"), "another bundle's");
  await spool(archive(whole()), left);
  assert.deepEqual(readdirSync(left).sort(), [".synlift-spool", ...names().filter(NEEDED)].sort());
});
