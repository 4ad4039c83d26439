import assert from "node:assert/strict";
import { test } from "node:test";
import { MigrationError } from "../../src/errors.ts";
import type { Progress } from "../../src/system/progress.ts";
import type { Attempt, Destination, Remote, WantedFile } from "../../src/transfer/remote.ts";
import { transferEach } from "../../src/transfer/transfer-each.ts";
import { machineWith } from "../support/fake-machine.ts";

const file = (name: string, size = 100): WantedFile => ({ name, size, sha256: "0".repeat(64) });
const passing = new MigrationError("transfer-failed", "the connection to far was lost");
const PERSISTENCE = { parallel: 1, silence: 30, attempts: 4 };

/** A clock that waits in no time, a remote that does what the test says, and what was reported. */
function world({ open }: { open?: () => void } = {}) {
  let clock = 0;
  const seen = { waits: [] as number[], opened: 0, closed: 0, advanced: 0, said: [] as string[] };
  const machine = machineWith({
    elapsed: () => clock,
    wait: (milliseconds, signal) => {
      // Waits for silence and for a call that ends late are never over by themselves here.
      if (milliseconds >= 30_000 || milliseconds === 5_000)
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        });
      seen.waits.push(milliseconds);
      clock += milliseconds;
      return Promise.resolve();
    },
  });
  const remote = {
    close: () => {
      seen.closed += 1;
      return Promise.resolve();
    },
  } as unknown as Remote;
  const destination: Destination = {
    address: "far",
    open: () => {
      open?.();
      seen.opened += 1;
      return Promise.resolve(remote);
    },
  };
  const progress: Progress = {
    begin: ({ id }) => void seen.said.push(`begin ${id}`),
    advance: (id, units) => {
      if (id === "send") seen.advanced += units;
    },
    end: (id) => void seen.said.push(`end ${id}`),
    remark: (_, why) => void seen.said.push(why),
    note: () => undefined,
  };
  const stop = new AbortController();
  const run = (
    files: readonly WantedFile[],
    act: (file: WantedFile, attempt: Attempt) => Promise<void> | void,
    persistence = PERSISTENCE,
  ) =>
    transferEach(
      files,
      destination,
      async (_remote, one, attempt) => act(one, attempt),
      { ...persistence, create: true, task: { id: "send", label: "send" } },
      { machine, signal: stop.signal, progress },
    );
  return { run, seen, stop };
}

test("what may pass is tried again over a new connection, after waits that grow, and what was sent counts once", async () => {
  const { run, seen } = world();
  let tries = 0;
  await run([file("x")], (_, { resumed, moved }) => {
    tries += 1;
    resumed(0);
    moved(10);
    if (tries < 4) throw passing;
    moved(90);
  });
  assert.deepEqual(seen.waits, [1000, 2000, 4000]);
  assert.equal(seen.opened, 4);
  assert.equal(seen.closed, 4);
  assert.equal(seen.advanced, 100, "bytes that are sent anew are no progress");
});

test("as long as bytes arrive it goes on for ever, and it gives up when attempts bring nothing new", async () => {
  const { run, seen } = world();
  let at = 0;
  await assert.rejects(
    run([file("x", 50)], (_, { resumed, moved }) => {
      resumed(at);
      if (at < 30) moved(1);
      at = Math.min(30, at + 1);
      throw passing;
    }),
    {
      code: "transfer-failed",
      message: /^x could not be transferred: the connection to far was lost; 4 attempts/,
    },
  );
  assert.equal(seen.advanced, 30);
  assert.equal(seen.waits.length, 32, "30 attempts that brought a byte, then 3 of 4 that did not wait again");
  assert.deepEqual(seen.waits.slice(-3), [1000, 2000, 4000]);
});

test("what will not pass ends all files at once, and is thrown as it is", async () => {
  const { run, seen } = world();
  const full = new MigrationError("disk-full", "far has no space left");
  let others = 0;
  await assert.rejects(
    run(
      [file("a"), file("b"), file("c")],
      async ({ name }, { signal }) => {
        if (name === "a") throw full;
        others += 1;
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        });
      },
      { ...PERSISTENCE, parallel: 2 },
    ),
    full,
  );
  assert.ok(others <= 1, "c is not begun");
  assert.deepEqual(seen.waits, []);
});

test("a first connection that fails is final; one that fails later may pass", async () => {
  const refused = new MigrationError("connection-failed", "sftp on far cannot be reached");
  const never = world({
    open: () => {
      throw refused;
    },
  });
  await assert.rejects(
    never.run([file("x")], () => undefined),
    refused,
  );
  let opened = 0;
  const later = world({
    open: () => {
      opened += 1;
      if (opened === 2) throw refused;
    },
  });
  let tries = 0;
  await later.run([file("x")], () => {
    tries += 1;
    if (tries === 1) throw passing;
  });
  assert.equal(opened, 3);
});

test("an attempt without a sign of life is ended after the time of silence", async () => {
  let clock = 0;
  const machine = machineWith({
    elapsed: () => clock,
    wait: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener("abort", () => {
          reject(signal.reason as Error);
        });
        setImmediate(() => {
          if (milliseconds !== 5_000) clock += milliseconds;
          resolve();
        });
      }),
  });
  const remote = { close: () => Promise.resolve() } as unknown as Remote;
  let tries = 0;
  await assert.rejects(
    transferEach(
      [file("x")],
      { address: "far", open: () => Promise.resolve(remote) },
      async () => {
        tries += 1;
        // Hangs, and does not even heed its signal.
        await new Promise(() => undefined);
      },
      { ...PERSISTENCE, attempts: 2, create: true, task: { id: "send", label: "send" } },
      {
        machine,
        signal: new AbortController().signal,
        progress: { begin() {}, advance() {}, end() {}, remark() {}, note() {} },
      },
    ),
    { code: "transfer-failed", message: /nothing was transferred for 30 seconds/ },
  );
  assert.equal(tries, 2);
});

test("checking is shown as work of its own, and ends before the next bytes", async () => {
  const { run, seen } = world();
  await run([file("x")], (_, { checked, resumed, moved }) => {
    checked(50);
    checked(50);
    resumed(0);
    moved(100);
    checked(100);
  });
  assert.deepEqual(seen.said, [
    ...["begin send", "begin check/x", "end check/x", "begin check/x", "end check/x", "end send"],
  ]);
});
