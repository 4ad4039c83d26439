import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const MODULE = fileURLToPath(new URL("../../src/system/heap-growth.ts", import.meta.url));

/** Makes much that is dropped, some of it only after a while, and prints how large both generations have become at most, in MiB. */
const CHURN = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { setTimeout as wait } from "node:timers/promises";
  import { limitHeapGrowth } from ${JSON.stringify(MODULE)};
  if (process.argv[1] === "limited") limitHeapGrowth();
  const most = { new_space: 0, old_space: 0 };
  const kept = [];
  for (let round = 0; round < 150; round += 1) {
    kept.push(Array.from({ length: 20_000 }, (_, at) => ({ at, text: "x" + at })));
    if (kept.length > 10) kept.shift();
    await wait(1);
    for (const { space_name: name, space_size: size } of getHeapSpaceStatistics())
      if (name in most) most[name] = Math.max(most[name], size / 1024 ** 2);
  }
  console.log(JSON.stringify(most));`;

function heap(how: string): { readonly new_space: number; readonly old_space: number } {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", CHURN, how], {
    encoding: "utf8",
  });
  assert.equal(stderr, "");
  return JSON.parse(stdout) as ReturnType<typeof heap>;
}

test("the heap stays near what is in use where it would not by itself", (t) => {
  const [limited, free] = [heap("limited"), heap("free")];
  t.diagnostic(JSON.stringify({ limited, free }));
  assert.ok(limited.new_space > 0 && limited.new_space <= 32);
  assert.ok(limited.old_space < 64);
  const why = "without a limit it is no larger: then this file is of no use any more";
  assert.ok(free.new_space > limited.new_space, why);
  assert.ok(free.old_space > limited.old_space, why);
});
