import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MigrationError } from "../../../../src/errors.ts";
import { archiveInFolder } from "../../../../src/homeserver/media/archive/source.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { opened } from "./uploads.ts";

const VECTORS = fileURLToPath(new URL("../../../vectors/media-archive/", import.meta.url));
const names = existsSync(VECTORS) ? readdirSync(VECTORS) : [];

interface Expected {
  readonly code: string | null;
  readonly records?: number;
  readonly wrong?: string[];
  readonly missing?: string[];
  readonly refused?: string[];
  readonly unknown?: number;
  /** Files beside the archive's that belong to nothing. */
  readonly stray?: string[];
}

test("there are archives to be held against", () => {
  assert.ok(names.length >= 20, `only ${names.length} in ${VECTORS}`);
  for (const name of ["ours-v2", "go-v1", "go-v2"]) assert.ok(names.includes(name));
});

for (const name of names) {
  const expected = JSON.parse(readFileSync(join(VECTORS, name, "expected.json"), "utf8")) as Expected;
  test(`the media archive "${name}" ${expected.code === null ? "opens" : `is refused with ${expected.code}`}`, async () => {
    const stray = new Set<string>();
    const source = archiveInFolder(join(VECTORS, name, "archive"), realFiles, (file) => stray.add(file));
    if (expected.code !== null) {
      await assert.rejects(opened(source), (error) => {
        assert.ok(error instanceof MigrationError, String(error));
        assert.equal(error.code, expected.code);
        assert.ok(error.hint);
        return true;
      });
      return;
    }
    const { manifest, read, contents } = await opened(source);
    const { records, wrong = [], missing = [], refused = [], unknown = 0 } = expected;
    assert.equal(read.records, records);
    assert.equal(contents.size, records);
    assert.deepEqual(
      read.wrong.map(({ record }) => record.media_id),
      wrong,
    );
    assert.deepEqual(
      read.missing.map(({ media_id: id }) => id),
      missing,
    );
    assert.deepEqual(
      manifest.refused.map(({ key }) => key),
      refused,
    );
    assert.equal(read.unknown, unknown);
    assert.deepEqual([...stray], expected.stray ?? []);
  });
}

test("what Go's writers packed is read as it was", async () => {
  for (const [name, version, entity] of [
    ["go-v2", 2, "example.org"],
    ["go-v1", 1, "@nora:example.org"],
  ] as const) {
    const { manifest, contents } = await opened(archiveInFolder(join(VECTORS, name, "archive"), realFiles));
    assert.deepEqual(
      [manifest.version, manifest.entity, manifest.createdTs],
      [version, entity, 1_712_400_000_000],
    );
    const [record] = manifest.byFile.get("example.org__GbRtWqLmZxKpVnHsYdCfJaEu.jpg")!;
    assert.deepEqual([record!.name, record!.created_ts], ["holiday <photo> & more.jpg", 1_712_345_678_901]);
    assert.equal(contents.get("TkPoIuYtReWqAsDfGhJkLzXc")!.toString("hex"), "0011223344556677");
    assert.equal(contents.get("UmlautUmlautUmlautUmlaut")!.toString(), "compressible ".repeat(20_000));
  }
});
