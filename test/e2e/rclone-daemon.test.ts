import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realHttp } from "../../src/system/http/http.ts";
import { RcloneDaemon, RcloneRefusal } from "../../src/transfer/rclone-daemon.ts";
import { machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

const NEVER = new AbortController().signal;
const host = { programs: programsWith(), machine: machineWith(), http: realHttp };

/** Every process whose arguments contain this text. */
const running = (text: string) =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const args = readFileSync(join("/proc", pid, "cmdline"), "utf8").split("\0");
        return args.some((one) => one.includes(text)) && args[0] === "rclone" ? [{ pid, args }] : [];
      } catch {
        return [];
      }
    });

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 50));
}

const configured = () => {
  const config = join(temporaryFolder("rclone"), "rclone.conf");
  writeFileSync(config, "[local]\ntype = local\n");
  return config;
};

test("rclone answers this run alone: its password is in no list of processes, and another one is refused", async () => {
  const config = configured();
  const daemon = await RcloneDaemon.start({ name: "rclone", args: ["--config", config] }, host, NEVER);
  try {
    assert.deepEqual(await daemon.call("rc/noop", { a: 1 }, NEVER), { a: 1 });
    await assert.rejects(
      daemon.call("operations/list", { fs: "local:/nonexistent", remote: "" }, NEVER),
      (error) => error instanceof RcloneRefusal && error.isMissing,
    );
    const [found, ...others] = running(config);
    assert.deepEqual(others, []);
    const secret = /RCLONE_RC_PASS=(\w{48})/.exec(readFileSync(`/proc/${found!.pid}/environ`, "utf8"))?.[1];
    assert.ok(secret);
    assert.equal(found!.args.join(" ").includes(secret), false);
  } finally {
    await daemon.close();
    await daemon.close();
  }
  assert.deepEqual(running(config), []);
  await assert.rejects(daemon.call("rc/noop", {}, NEVER), { code: "transfer-failed" });
});

test("rclone ends when the program that started it is killed", async () => {
  const config = configured();
  const source = (name: string) => JSON.stringify(new URL(name, import.meta.url).pathname);
  const script = `
    import { RcloneDaemon } from ${source("../../src/transfer/rclone-daemon.ts")};
    import { realHttp } from ${source("../../src/system/http/http.ts")};
    import { machineWith } from ${source("../support/fake-machine.ts")};
    import { programsWith } from ${source("../support/real-world.ts")};
    const host = { programs: programsWith(), machine: machineWith(), http: realHttp };
    await RcloneDaemon.start({ name: "rclone", args: ["--config", ${JSON.stringify(config)}] }, host, new AbortController().signal);
    console.log("started");
    setInterval(() => undefined, 1e6);
  `;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  assert.equal(running(config).length, 1);
  child.kill("SIGKILL");
  await until(() => running(config).length === 0);
});

test("a configuration that cannot be read is a clear error", async () => {
  await assert.rejects(RcloneDaemon.start({ name: "rclone", args: ["--no-such-option"] }, host, NEVER), {
    code: "program-failed",
    message: /no-such-option/,
  });
  await assert.rejects(RcloneDaemon.start({ name: "rclone-that-is-not-there", args: [] }, host, NEVER), {
    code: "program-missing",
  });
});
