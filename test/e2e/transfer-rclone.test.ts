import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { noise } from "../support/bytes.ts";
import { localFile } from "../transfer/contract.ts";
import { rcloneContract, served, to } from "../transfer/rclone-contract.ts";

const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

// Every tenth: test/long/transfer-rclone.test.ts.
rcloneContract([5]);

test("a remote that rclone does not know is final, with the command that shows it", async () => {
  await assert.rejects(to("never-configured:x").open(NEVER, { create: true }), {
    code: "connection-failed",
    hint: "correct it until this command works, as this account: rclone lsf never-configured:x",
  });
  await assert.rejects(to(`local:${served}/none`).open(NEVER, { create: false }), { code: "file-missing" });
});

test("a place that can be listed but not written to is final at once", async () => {
  const folder = join(served, "read-only");
  mkdirSync(folder);
  const remote = await to(`local:${folder}`).open(NEVER, { create: true });
  const account = process.getuid?.() === 0 ? execFileSync("chattr", ["+i", folder]) : undefined;
  try {
    if (account === undefined) execFileSync("chmod", ["0500", folder]);
    await assert.rejects(remote.put(localFile("x", noise(99)), ignored), { code: "permission-denied" });
  } finally {
    if (account !== undefined) execFileSync("chattr", ["-i", folder]);
    await remote.close();
  }
});
