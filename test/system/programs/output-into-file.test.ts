import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Interrupted } from "../../../src/errors.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import type { ProgramCall, Programs } from "../../../src/system/programs/programs.ts";
import { breaksAfter, BROKEN, chunked, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";
import { smallDisk } from "../../support/small-disk.ts";

// A program that writes its output into a file by itself.

const sh = (script: string): ProgramCall => ({ name: "sh", args: ["-c", script] });
const children = () =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);

async function written(output: ReturnType<Programs["pipe"]>, folder = temporaryFolder("into")) {
  const file = await realFiles.begin(join(folder, "file"));
  const told: number[] = [];
  try {
    await file.pipeFrom(output, (bytes) => told.push(bytes));
    await file.finish();
    return { path: join(folder, "file"), told };
  } finally {
    await file.abandon();
    assert.deepEqual(children(), [], "no program runs any more");
  }
}

test("what a program prints lies in the file to the last byte, and every byte of it was told", async () => {
  const programs = programsWith();
  const bytes = noise(3_000_000);
  const first = programs.pipe(sh("cat"), chunked(bytes));
  const { path, told } = await written(
    programs.pipe({ ...sh("cat; sleep 0.2"), outputPrefix: "first\n" }, first),
  );
  assert.ok(readFileSync(path).equals(Buffer.concat([Buffer.from("first\n"), bytes])));
  assert.equal(
    told.reduce((sum, one) => sum + one, 0),
    bytes.length + 6,
  );
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

for (const [what, script, error] of [
  ["is killed half way", "head -c 5000; kill -KILL $$", /by SIGKILL/],
  ["fails at its end", "cat; echo bad >&2; exit 6", /exit code 6: bad/],
  ["leaves early and says 0", "head -c 10; exit 0", /stopped reading before/],
] as const)
  test(`nothing is left of a file whose program ${what}`, async () => {
    const folder = temporaryFolder("into");
    const output = programsWith().pipe(sh(script), chunked(noise(1_000_000)));
    await assert.rejects(written(output, folder), { code: "program-failed", message: error });
    assert.deepEqual(readdirSync(folder), []);
  });

test("a source that breaks, and a reader that wants no more, end the program with their own errors", async () => {
  const programs = programsWith();
  await assert.rejects(written(programs.pipe(sh("cat"), breaksAfter(noise(100_000)))), new Error(BROKEN));
  const enough = new Error("enough");
  const file = await realFiles.begin(join(temporaryFolder("into"), "file"));
  const endless = programs.pipe(sh("cat /dev/zero | head -c 100000000; sleep 60"));
  await assert.rejects(
    file.pipeFrom(endless, () => {
      throw enough;
    }),
    (error) => error === enough,
  );
  await file.abandon();
});

test("a run that is stopped ends the program", async () => {
  const controller = new AbortController();
  const stop = new Interrupted("SIGTERM");
  setTimeout(() => {
    controller.abort(stop);
  }, 200);
  const output = programsWith({}, controller.signal).pipe(sh("echo begun; exec sleep 60"));
  await assert.rejects(written(output), (error) => error === stop);
});

test("a disk that gets full is told as that", async (t) => {
  const folder = await smallDisk(t);
  const output = programsWith().pipe(sh("exec cat"), chunked(noise(3_000_000)));
  await assert.rejects(written(output, folder), { code: "disk-full", message: /no space left/ });
  assert.deepEqual(readdirSync(folder), []);
});
