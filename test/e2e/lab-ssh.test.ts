import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { startSshServer } from "../support/lab/ssh-server.ts";
import { stateOf, until } from "../support/processes.ts";

// What tests over SSH take for granted: their server goes away with them, however they end.

const SUPPORT = new URL("../support/lab/ssh-server.ts", import.meta.url).href;

test("an SSH server ends with the process that has started it, also when that is killed", async () => {
  const program = `
    const { startSshServer } = await import(${JSON.stringify(SUPPORT)});
    const { folder } = await startSshServer();
    const { readFileSync } = await import("node:fs");
    console.log(readFileSync(folder + "/pid", "utf8").trim());
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  await until("the server says who it is", () => said.endsWith("\n"));
  const pid = Number(said);
  assert.equal(stateOf(pid), "running");
  child.kill("SIGKILL");
  await until("it has ended", () => stateOf(pid) !== "running");
});

test("an SSH server that is stopped has ended", async () => {
  const server = await startSshServer();
  await server.stop();
  await server.stop();
});
