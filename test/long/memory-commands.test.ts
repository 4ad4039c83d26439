import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

// However many uploads there are, no command takes more than 300 MB of memory: the commands as people run them, against a
// real Synapse's database with a file for each upload. See docs/performance.md for what was measured.

const BENCH = fileURLToPath(new URL("../../bench/memory.ts", import.meta.url));
const MOST = 300e6 / 1024 ** 2;

/** MiB that each command took at most, by its name in bench/memory.ts. */
async function peaks(
  t: TestContext,
  uploads: number,
  bytes: number,
  commands: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const child = spawn(process.execPath, [BENCH, String(uploads), String(bytes), ...commands], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, said);
  t.diagnostic(said);
  return new Map(
    [...said.matchAll(/^(\w+) +(\d+) MiB, with all that it started/gm)].map(([, name, peak]) => [
      name!,
      Number(peak),
    ]),
  );
}

function assertSmall(found: ReadonlyMap<string, number>, commands: readonly string[]): void {
  assert.deepEqual([...found.keys()].toSorted(), [...commands].toSorted());
  const large = [...found].filter(([, peak]) => peak > MOST).map(([name, peak]) => `${name}: ${peak} MiB`);
  assert.deepEqual(large, []);
}

test("a million uploads are looked at, packed, restored and opened in 300 MB", async (t) => {
  const commands = ["check", "plan", "export", "restore", "open"];
  assertSmall(await peaks(t, 1_000_000, 1, commands), commands);
});

for (const [files, bytes] of [
  [30_000, 35_791],
  [150_000, 7_158],
] as const)
  test(`a gigabyte in ${files} files is packed for both uses in 300 MB`, async (t) => {
    assertSmall(await peaks(t, files, bytes, ["both"]), ["both"]);
  });
