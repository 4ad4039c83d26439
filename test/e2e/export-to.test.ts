import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { exportFromSmallDisk } from "../support/export-to.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { synlift } from "../support/synlift.ts";

test("a homeserver moves to a provider from a disk that has room for two parts, although the export is killed twice", async (t) => {
  await exportFromSmallDisk(t, { media: 12, disk: 6, part: 2, provider: true });
});

test("where the parts cannot go, nothing is stopped and nothing is written", async () => {
  const folder = temporaryFolder("export-to");
  writeFileSync(join(folder, "file"), "");
  const config = join(folder, "none.yaml");
  const ran = await synlift([
    "export",
    "--config",
    config,
    "--out",
    join(folder, "out"),
    "--to",
    "host:/srv",
  ]);
  assert.equal(ran.code, 2, ran.stderr);
  assert.equal(existsSync(join(folder, "out")), false);
});
