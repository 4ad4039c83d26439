import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Interrupted } from "../../../src/errors.ts";
import type { ProgramCall } from "../../../src/system/programs/programs.ts";
import { breaksAfter, BROKEN, chunked, flipped, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";

// A program whose output, a gzip file, is looked at by a thread.

const sh = (script: string): ProgramCall => ({ name: "sh", args: ["-c", script] });
const children = () =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);
const CONTENT = noise(3_000_000);

for (const [kind, level] of [
  ["compressed", 1],
  ["stored", 0],
] as const) {
  const gzip = { tail: 5, packing: level === 0 ? "stored" : "deflated" } as const;
  const file = gzipSync(CONTENT, { level });

  async function looked(script: string, bytes: Uint8Array, signal?: AbortSignal) {
    const temporary = temporaryFolder("pipes");
    const programs = programsWith({ TMPDIR: temporary }, signal);
    try {
      return await programs.pipe(sh(script), chunked(bytes)).digestGzip(gzip);
    } finally {
      assert.deepEqual(readdirSync(temporary), [], "no pipe lies on the disk");
      assert.deepEqual(children(), [], "no program runs any more");
    }
  }

  test(`a ${kind} file is measured, with its end and the end of what it holds`, async () => {
    assert.deepEqual(await looked("cat", file), {
      size: CONTENT.length,
      sha256: createHash("sha256").update(CONTENT).digest("hex"),
      tail: Uint8Array.from(CONTENT.subarray(-5)),
      end: Uint8Array.from(file.subarray(-8)),
    });
    const empty = await looked("cat", gzipSync("", { level }));
    assert.deepEqual([empty.size, empty.tail.length], [0, 0]);
  });

  test(`a ${kind} file that is damaged or cut off is told with zlib's code, and ends the program`, async () => {
    await assert.rejects(looked("cat; exec sleep 0.1", flipped(file, 1)), { code: "Z_DATA_ERROR" });
    await assert.rejects(looked("exec cat", flipped(file, file.length - 7)), { code: "Z_DATA_ERROR" });
    await assert.rejects(looked("exec head -c 100000; cat >/dev/null", file.subarray(0, 100_000)), {
      code: "Z_BUF_ERROR",
    });
    // Of an endless one no end is waited for.
    await assert.rejects(looked("head -c 500000 /dev/zero; exec yes", file), { code: "Z_DATA_ERROR" });
  });

  test(`what the program itself did wrong is told first, of a ${kind} file`, async () => {
    for (const [script, message] of [
      ["head -c 1000; cat >/dev/null; kill -KILL $$", /by SIGKILL/],
      ["cat; echo bad >&2; exit 3", /exit code 3: bad/],
      ["head -c 1000; exit 0", /stopped reading before/],
    ] as const)
      await assert.rejects(looked(script, file), { code: "program-failed", message });
    await assert.rejects(
      programsWith().pipe({ name: "/nonexistent/gpg", args: [] }, chunked(file)).digestGzip(gzip),
      { code: "program-missing" },
    );
    const breaking = programsWith().pipe(sh("cat"), breaksAfter(file.subarray(0, 100_000)));
    await assert.rejects(breaking.digestGzip(gzip), new Error(BROKEN));
  });

  test(`a run that is stopped ends program and thread, with a ${kind} file`, async () => {
    const controller = new AbortController();
    const stop = new Interrupted("SIGTERM");
    setTimeout(() => {
      controller.abort(stop);
    }, 300);
    await assert.rejects(looked("exec sleep 60", file, controller.signal), (error) => error === stop);
  });
}
