import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

// In a process of its own: descriptors are what a process inherits.

const READER = fileURLToPath(new URL("../../../src/system/files/descriptor.ts", import.meta.url));
const file = join(temporaryFolder("descriptor"), "line");
writeFileSync(file, "from a file\nand more\n");

const SCRIPT = `
  import { readLine } from ${JSON.stringify(READER)};
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort(new Error("asked to stop")));
  console.log("ready");
  try { console.log(JSON.stringify(await readLine(5, stop.signal))); }
  catch (error) { console.log(error.message); }
`;

function reading(redirection: string, { stopped = false } = {}): Promise<string> {
  const shell = `exec "$0" --input-type=module-typescript -e "$1" ${redirection}`;
  const child = spawn("bash", ["-c", shell, process.execPath, SCRIPT], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (said === "" && stopped) child.kill("SIGTERM");
    said += text;
  });
  return new Promise((resolve) => {
    // Not at its end alone: what it said may still be on its way.
    child.on("close", () => {
      try {
        // What keeps the pipe open.
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // Nothing is left.
      }
      resolve(said.replace("ready", "").trim());
    });
  });
}

test("a line comes from a file, from a pipe that stays open, and from one that is closed without a line's end", async () => {
  assert.match(await reading(`5< ${file}`), /^"from a file/);
  assert.match(await reading("5< <(echo from a pipe; sleep 5)"), /^"from a pipe/);
  assert.equal(await reading("5< <(printf unfinished)"), '"unfinished"');
});

test("a descriptor that nobody opened is refused, also where Node has one of its own", async () => {
  assert.equal(await reading("5<&-"), "file descriptor 5 is not open for reading");
});

test("waiting for a line that never comes can be stopped", async () => {
  assert.equal(await reading("5< <(sleep 20)", { stopped: true }), "asked to stop");
});
