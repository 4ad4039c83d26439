import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Bundle } from "../../../src/bundle/reader.ts";
import { realFiles as files } from "../../../src/system/files/files.ts";
import { openPipe } from "../../../src/system/programs/pipe.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

test("a link that leads to itself is told as that, with what to do", async () => {
  const folder = temporaryFolder("looped");
  const path = join(folder, "manifest.json");
  symlinkSync(path, path);
  for (const act of [() => files.readText(path), () => files.stat(path)])
    await assert.rejects(act, {
      code: "file-failed",
      message: /^cannot (read|look at) .*manifest\.json: too many levels of symbolic links$/,
      hint: /correct the symbolic link/,
    });
  // No file of a bundle is a link, so none is followed.
  await assert.rejects(Bundle.open(folder, files), {
    code: "bundle-damaged",
    message: /manifest\.json is not a regular file/,
  });
});

test("a program of coreutils that is not there is named, and not the file it was to work on", async () => {
  const folder = temporaryFolder("bare");
  const { PATH } = process.env;
  process.env["PATH"] = folder;
  try {
    for (const [act, name] of [
      [() => files.syncAll(folder), "sync"],
      [() => openPipe(folder), "mkfifo"],
    ] as const)
      await assert.rejects(act, {
        code: "program-missing",
        message: `${name} is not installed`,
        hint: /coreutils/,
      });
  } finally {
    process.env["PATH"] = PATH;
  }
});
