import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realFiles } from "../../../src/system/files/files.ts";
import { readWholeFile } from "../../../src/system/files/whole-file.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const folder = temporaryFolder("whole");

function pipe(name: string): string {
  const path = join(folder, name);
  execFileSync("mkfifo", [path]);
  return path;
}

test("what somebody writes into a named pipe is read like a file, also when it comes late and in pieces", async () => {
  const path = pipe("late");
  spawn("sh", ["-c", `sleep 0.3; exec > ${path}; printf 'one '; sleep 0.3; echo two`], { stdio: "ignore" });
  assert.equal(await realFiles.readText(path), "one two\n");
});

test("a pipe into which nobody writes is named, and not waited for for ever", async () => {
  const path = pipe("silent");
  await assert.rejects(readWholeFile(path, 1000, { writer: 200, bytes: 200 }), {
    code: "file-failed",
    message: `timed out waiting for data from the pipe ${path}`,
  });
});

test("a pipe that is held open without a word is not waited for for ever either", async () => {
  const path = pipe("held");
  const holder = spawn("sh", ["-c", `exec > ${path}; exec sleep 5`], { stdio: "ignore" });
  await assert.rejects(readWholeFile(path, 1000, { writer: 2000, bytes: 300 }), { code: "file-failed" });
  holder.kill();
});

test("an empty file is empty, and one byte too many is refused", async () => {
  const path = join(folder, "file");
  writeFileSync(path, "");
  assert.equal((await readWholeFile(path, 10)).length, 0);
  writeFileSync(path, "x".repeat(11));
  await assert.rejects(readWholeFile(path, 10), { code: "file-failed" });
  assert.equal((await readWholeFile(path, 11)).length, 11);
});
