import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Bundle } from "../../../src/bundle/reader.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

test("a link that leads to itself is told as that, with what to do", async () => {
  const folder = temporaryFolder("looped");
  const path = join(folder, "manifest.json");
  symlinkSync(path, path);
  for (const act of [() => files.readText(path), () => files.stat(path), () => Bundle.open(folder, files)])
    await assert.rejects(act, {
      code: "file-failed",
      message: /^cannot (read|look at) .*manifest\.json: too many levels of symbolic links$/,
      hint: /correct the symbolic link/,
    });
});
