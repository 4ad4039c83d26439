import assert from "node:assert/strict";
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { folderDestination } from "../../src/transfer/folder-store.ts";
import { limitedTo, unlimited } from "../../src/transfer/pace.ts";
import { partialName } from "../../src/transfer/store-remote.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { localFile, remoteContract, storedIn } from "./contract.ts";

const host = { files: realFiles, programs: programsWith() };
const to = (folder: string) => folderDestination(folder, host, unlimited);
const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

remoteContract("a folder", () => {
  const folder = join(temporaryFolder("place"), "bundle");
  return Promise.resolve({
    destination: to(folder),
    appends: true,
    ...storedIn(folder),
    small: async (t) => to(await smallDisk(t)),
  });
});

test("a symbolic link in place of a partial file is not written through", async () => {
  const folder = temporaryFolder("place");
  const victim = join(temporaryFolder("victim"), "file");
  writeFileSync(victim, "precious");
  const file = localFile("x", Buffer.from("y".repeat(100)));
  symlinkSync(victim, join(folder, partialName(file)));
  const remote = await to(folder).open(NEVER, { create: false });
  await assert.rejects(remote.put(file, ignored), { code: "file-failed" });
  assert.equal(readFileSync(victim, "utf8"), "precious");
});

test("what is in the way and is not ours is a final error with its path", async () => {
  const folder = temporaryFolder("place");
  writeFileSync(join(folder, "file"), "");
  await assert.rejects(to(join(folder, "file")).open(NEVER, { create: false }), { code: "bad-usage" });
  await assert.rejects(to(join(folder, "none")).open(NEVER, { create: false }), {
    code: "file-missing",
    message: `there is no folder ${folder}/none`,
  });
});

test("half of a partial file that is damaged at rest costs the file, not the transfer", async () => {
  const folder = temporaryFolder("place");
  const file = localFile("x", Buffer.from("0123456789"));
  writeFileSync(join(folder, partialName(file)), "01x34");
  const remote = await to(folder).open(NEVER, { create: false });
  await assert.rejects(remote.put(file, ignored), { code: "transfer-failed" });
  assert.deepEqual(readdirSync(folder), []);
  await remote.put(file, ignored);
  assert.equal(readFileSync(join(folder, "x"), "utf8"), "0123456789");
});

test("a partial file of another source is never continued, and goes away", async () => {
  const folder = temporaryFolder("place");
  const [old, file] = [localFile("x", Buffer.from("old")), localFile("x", Buffer.from("new source"))];
  writeFileSync(join(folder, partialName(old)), "old");
  writeFileSync(join(folder, ".x.not-ours.partial"), "kept");
  const remote = await to(folder).open(NEVER, { create: false });
  await remote.put(file, ignored);
  assert.deepEqual(readdirSync(folder).sort(), [".x.not-ours.partial", "x"]);
});

test("a limit of the bandwidth holds on average, from the first byte on and after a pause", async () => {
  let clock = 0;
  const waits: number[] = [];
  const pace = limitedTo(1000, {
    elapsed: () => clock,
    wait: (milliseconds) => {
      waits.push(milliseconds);
      clock += milliseconds;
      return Promise.resolve();
    },
  });
  for (let chunk = 0; chunk < 20; chunk += 1) await pace(500, NEVER);
  assert.ok(clock >= 9700 && clock <= 10_000, `10,000 bytes took ${clock} ms`);
  clock += 60_000;
  const resumed = clock;
  for (let chunk = 0; chunk < 20; chunk += 1) await pace(500, NEVER);
  assert.ok(clock - resumed >= 9700, "a minute of silence is not made up for");
});
