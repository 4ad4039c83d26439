import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { acquireLock, isHolderGone, readLockHolder } from "../../src/journal/lock.ts";
import { type Files, realFiles as files } from "../../src/system/files/files.ts";
import { machineOf, machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const newLock = () => join(temporaryFolder("lock"), "lock");
const SINCE = "2026-01-02T03:04:05.000Z";

/** A lock that somebody left. */
function leftLock(holder: { pid: number; start: string; host?: string }): string {
  const path = newLock();
  writeFileSync(path, JSON.stringify({ host: machineWith().hostname, since: SINCE, ...holder }));
  return path;
}

/** A process id that was in use and is no more. */
const deadPid = () => Number(execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }));

test("a second run is refused, and told who works there and since when", async () => {
  const path = newLock();
  const me = machineWith();
  const held = await acquireLock(path, files, me);
  await assert.rejects(acquireLock(path, files, me), {
    code: "bundle-in-use",
    message: new RegExp(`process ${me.pid} on ${me.hostname} has been working with .* since \\d{4}-`),
    hint: new RegExp(`remove ${path}`),
  });
  assert.equal((await readLockHolder(path, files))?.pid, me.pid);
  await held.release();
  await held.release();
  assert.deepEqual(readdirSync(join(path, "..")), []);
  await (await acquireLock(path, files, me)).release();
});

test("the lock of a process that is gone is taken over", async () => {
  const path = leftLock({ pid: deadPid(), start: "12345" });
  await acquireLock(path, files, machineWith());
  assert.equal((await readLockHolder(path, files))?.pid, process.pid);
  assert.deepEqual(readdirSync(join(path, "..")), ["lock"], "nothing is left of the old one");
});

test("the lock of a process whose number another process has by now is taken over", async () => {
  const path = leftLock({ pid: process.ppid, start: "1" });
  await acquireLock(path, files, machineWith());
  assert.equal((await readLockHolder(path, files))?.pid, process.pid);
});

test("the lock of another living process of this host is respected", async () => {
  const other = spawn("sleep", ["60"]);
  const start = machineWith().processStart(other.pid!)!;
  const path = leftLock({ pid: other.pid!, start });
  await assert.rejects(acquireLock(path, files, machineWith()), {
    code: "bundle-in-use",
    message: new RegExp(`process ${other.pid}`),
  });
  other.kill("SIGKILL");
});

test("the lock of another host is respected, as nobody can see from here whether it is alive", async () => {
  const path = leftLock({ pid: deadPid(), start: "1", host: "other.example" });
  await assert.rejects(acquireLock(path, files, machineWith()), {
    code: "bundle-in-use",
    message: /on other.example/,
    hint: /if other.example no longer exists, remove/,
  });
  assert.equal((await readLockHolder(path, files))?.host, "other.example");
});

test("a lock that holds nothing readable, as after a power cut, is taken over", async () => {
  for (const rest of ["", "{", '{"pid": 1}']) {
    const path = newLock();
    writeFileSync(path, rest);
    await acquireLock(path, files, machineWith());
    assert.equal((await readLockHolder(path, files))?.pid, process.pid);
  }
});

test("letting go of a lock that somebody else has by now leaves it", async () => {
  const path = newLock();
  const held = await acquireLock(path, files, machineOf(10, { 10: "1" }));
  writeFileSync(path, JSON.stringify({ pid: 11, host: "x", start: "1", since: SINCE }));
  await held.release();
  assert.equal((await readLockHolder(path, files))?.pid, 11);
});

test("a process is gone when its number is free or was given out again", () => {
  const holder = { pid: 10, host: "here", start: "500", since: SINCE };
  assert.equal(isHolderGone(holder, machineOf(1, { 10: "500" }, "here")), false);
  assert.equal(isHolderGone(holder, machineOf(1, { 10: "501" }, "here")), true);
  assert.equal(isHolderGone(holder, machineOf(1, {}, "here")), true);
  assert.equal(isHolderGone(holder, machineOf(1, {}, "there")), false);
});

/** The real files, each call of which comes after a wait of its own: so races come out that are rare otherwise. */
function shuffled(seed: number): Files {
  let state = seed;
  const wait = () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return new Promise((resolve) => setTimeout(resolve, (state >> 8) % 6));
  };
  return new Proxy(files, {
    get(target, name: string) {
      const act = (target as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>)[name]!;
      return async (...given: unknown[]) => {
        await wait();
        const done = await act(...given);
        await wait();
        return done;
      };
    },
  });
}

const CONTENDERS = Array.from({ length: 20 }, (_, index) => 1000 + index);
const alive = Object.fromEntries(CONTENDERS.map((pid) => [pid, `start of ${pid}`]));

for (const [what, left] of [
  ["a stale lock", JSON.stringify({ pid: 5, host: "here", start: "1", since: SINCE })],
  ["an unreadable lock", "{"],
  ["no lock", undefined],
] as const)
  test(`of twenty that come upon ${what} at once exactly one gets it`, async () => {
    for (let round = 1; round <= 12; round++) {
      const path = newLock();
      if (left !== undefined) writeFileSync(path, left);
      const outcomes = await Promise.allSettled(
        CONTENDERS.map((pid) => acquireLock(path, shuffled(pid * round), machineOf(pid, alive, "here"))),
      );
      const winners = CONTENDERS.filter((_, index) => outcomes[index]!.status === "fulfilled");
      assert.equal(winners.length, 1, `round ${round}: ${winners.join(", ")} all think that they have it`);
      const holder = JSON.parse(readFileSync(path, "utf8")) as { pid: number };
      assert.equal(holder.pid, winners[0], "who got it is who stands in it");
      for (const outcome of outcomes)
        if (outcome.status === "rejected")
          assert.equal((outcome.reason as { code: string }).code, "bundle-in-use");
      assert.deepEqual(readdirSync(join(path, "..")), ["lock"]);
    }
  });

test("a run that died while it was taking over a lock does not keep the next from it", async () => {
  const path = leftLock({ pid: deadPid(), start: "1" });
  writeFileSync(
    `${path}.stale`,
    JSON.stringify({ pid: deadPid(), host: machineWith().hostname, start: "1", since: SINCE }),
  );
  await acquireLock(path, files, machineWith());
  assert.equal((await readLockHolder(path, files))?.pid, process.pid);
  assert.deepEqual(readdirSync(join(path, "..")), ["lock"]);
});
