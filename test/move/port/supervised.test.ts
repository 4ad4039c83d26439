import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startSupervised, unlessSilent } from "../../../src/move/port/supervised.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith } from "../../support/real-world.ts";

const sh = (script: string, signal: "KILL" | "TERM" = "KILL") =>
  startSupervised({ name: "sh", args: ["-c", script] }, signal, programsWith());

async function linesOf(lines: AsyncIterable<readonly string[]>): Promise<string[]> {
  const all: string[] = [];
  for await (const some of lines) all.push(...some);
  return all;
}

const isAlive = (pid: number) => existsSync(`/proc/${pid}`);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

test("both outputs come as one, and the exit status is the program's own", async () => {
  const program = await sh("echo out; echo err >&2; echo out again; exit 7");
  assert.deepEqual(await linesOf(program.lines), ["out", "err", "out again"]);
  assert.equal(await program.end(), 7);
});

test("it has nothing to read, and an empty output is one", async () => {
  const program = await sh("cat");
  assert.deepEqual(await linesOf(program.lines), []);
  assert.equal(await program.end(), 0);
});

test("one that runs is ended by the signal, as its status says", async () => {
  for (const [signal, status] of [
    ["KILL", 137],
    ["TERM", 143],
  ] as const) {
    const program = await sh("echo $$; exec sleep 600", signal);
    const lines = program.lines[Symbol.asyncIterator]();
    const first = await lines.next();
    assert.ok(first.done !== true);
    const pid = Number(first.value[0]);
    assert.ok(isAlive(pid));
    const rest = lines.next();
    assert.equal(await program.end(), status);
    await rest;
    assert.equal(isAlive(pid), false);
  }
});

test("a server may end in its own way", async () => {
  const program = await sh("trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.1; done", "TERM");
  const lines = program.lines[Symbol.asyncIterator]();
  await lines.next();
  const rest = linesOf({ [Symbol.asyncIterator]: () => lines });
  assert.equal(await program.end(), 0);
  assert.deepEqual(await rest, ["stopped"]);
});

test("it ends when the process that supervises it is killed", async () => {
  const folder = temporaryFolder("supervised");
  const file = join(folder, "pid");
  const src = (path: string) =>
    JSON.stringify(fileURLToPath(new URL(`../../../src/${path}`, import.meta.url)));
  const code = `
    const { startSupervised } = await import(${src("move/port/supervised.ts")});
    const { realPrograms } = await import(${src("system/programs/programs.ts")});
    const programs = realPrograms(process.env, new AbortController().signal);
    const program = await startSupervised({ name: "sh", args: ["-c", "echo $$ > ${file}.new; mv ${file}.new ${file}; exec sleep 600"] }, "KILL", programs);
    for await (const _ of program.lines);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: "ignore" });
  await until(() => existsSync(file));
  const pid = Number(readFileSync(file, "utf8"));
  assert.ok(isAlive(pid));
  child.kill("SIGKILL");
  await until(() => !isAlive(pid));
});

test("silence for too long is an error, and the program can be ended then", async () => {
  const program = await sh("echo one; echo two; exec sleep 600");
  const said: string[] = [];
  const late = () => new Error("silent");
  const machine = machineWith();
  await assert.rejects(async () => {
    for await (const lines of unlessSilent(program.lines, 700, { machine, late })) said.push(...lines);
  }, late());
  assert.deepEqual(said, ["one", "two"]);
  assert.equal(await program.end(), 137);
});

test("one that never pauses is read to its end, whoever reads it slowly", async () => {
  const program = await sh("i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i + 1)); done");
  let count = 0;
  const limits = { machine: machineWith(), late: () => new Error("silent") };
  for await (const lines of unlessSilent(program.lines, 60_000, limits)) count += lines.length;
  assert.equal(count, 2000);
  assert.equal(await program.end(), 0);
});

test("a reader that stops early leaves a program that can be ended", async () => {
  const program = await sh("while :; do echo many lines; done");
  const limits = { machine: machineWith(), late: () => new Error("silent") };
  for await (const _ of unlessSilent(program.lines, 60_000, limits)) break;
  assert.equal(await program.end(), 137);
});
