import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { linkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { lockHolders, usersOfFiles } from "../../../src/system/files/file-users.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { stateOf, until } from "../../support/processes.ts";

function someFile(): string {
  const path = join(temporaryFolder("users"), "some.db");
  writeFileSync(path, "x");
  return path;
}

test("who has a file open is found by the file, also through a link, and not once it is closed", async () => {
  const path = someFile();
  const link = join(path, "../other-name");
  symlinkSync(path, link);
  assert.deepEqual(usersOfFiles([path], process.pid), []);
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "sh", "-c", "exec 3< some.db; exec sleep 60"], {
    cwd: join(path, ".."),
  });
  try {
    await until("it has it open", () => usersOfFiles([link], process.pid).length > 0);
    await until("it sleeps", () => usersOfFiles([link], process.pid)[0]?.program === "sleep");
    assert.deepEqual(usersOfFiles([link, `${link}-wal`], process.pid), [
      { pid: child.pid, program: "sleep" },
    ]);
    const same = someFile();
    assert.deepEqual(usersOfFiles([same], process.pid), [], "a file of the same name is another one");
  } finally {
    child.kill("SIGKILL");
  }
  await until("it is gone", () => stateOf(child.pid!) !== "running");
  assert.deepEqual(usersOfFiles([link], process.pid), []);
});

test("we ourselves do not count, and a file that is not there is nobody's", () => {
  const path = join(temporaryFolder("users"), "own.db");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x)");
  assert.deepEqual(usersOfFiles([path], process.pid), []);
  assert.deepEqual(usersOfFiles([path], 1), [{ pid: process.pid, program: "node" }]);
  assert.deepEqual(usersOfFiles([`${path}.gone`], 1), []);
  database.close();
});

test("the kernel's list of locks tells holders by device and inode", () => {
  const path = someFile();
  linkSync(path, `${path}.too`);
  const { dev, ino } = statSync(path, { bigint: true });
  const hex = (part: bigint) => part.toString(16).padStart(2, "0");
  const device = `${hex((dev >> 8n) & 0xfffn)}:${hex((dev & 0xffn) | ((dev >> 12n) & ~0xffn))}`;
  const text = [
    `1: POSIX  ADVISORY  READ 77 ${device}:${ino} 128 128`,
    `2: -> POSIX  ADVISORY  WRITE 78 ${device}:${ino} 0 EOF`,
    `3: OFDLCK ADVISORY  READ -1 ${device}:${ino} 0 EOF`,
    `4: POSIX  ADVISORY  READ 79 ${device}:${ino + 1n} 128 128`,
    `5: POSIX  ADVISORY  READ 80 ff:0f:${ino} 128 128`,
    "",
  ].join("\n");
  assert.deepEqual(lockHolders(text, [{ dev, ino }]), [77, 78, -1]);
});
