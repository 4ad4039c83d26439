import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const DEMO = fileURLToPath(new URL("../../scripts/demo.ts", import.meta.url));

test("the demo runs on SQLite where it cannot have PostgreSQL", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [DEMO, "sqlite"], {
    encoding: "utf8",
    env: { ...process.env, NODE_TEST_CONTEXT: "" },
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /an old homeserver: SQLite/);
  assert.match(stdout, /moved: .* rows of SQLite/);
});
