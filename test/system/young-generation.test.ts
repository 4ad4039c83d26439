import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const MODULE = fileURLToPath(new URL("../../src/system/young-generation.ts", import.meta.url));

/** Makes much that is dropped soon, and some that stays for a while, and prints how large the young generation has become, in MiB. */
const CHURN = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { setTimeout as wait } from "node:timers/promises";
  import { limitYoungGeneration } from ${JSON.stringify(MODULE)};
  if (process.argv[1] === "limited") limitYoungGeneration();
  const kept = [];
  for (let round = 0; round < 150; round += 1) {
    kept.push(Array.from({ length: 20_000 }, (_, at) => ({ at, text: "x" + at })));
    if (kept.length > 3) kept.shift();
    await wait(1);
  }
  console.log(getHeapSpaceStatistics().find((space) => space.space_name === "new_space").space_size / 1024 ** 2);`;

const youngGeneration = (how: string) => {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", CHURN, how], {
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return Number(stdout);
};

test("the young generation stays small where it would not by itself", () => {
  const [limited, free] = [youngGeneration("limited"), youngGeneration("free")];
  assert.ok(limited > 0 && limited <= 32, `${limited} MiB`);
  assert.ok(free > limited, `${free} MiB without a limit: then this file is of no use any more`);
});
