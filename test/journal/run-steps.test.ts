import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Interrupted } from "../../src/errors.ts";
import { Journal } from "../../src/journal/journal.ts";
import { runSteps } from "../../src/journal/run-steps.ts";
import type { Inputs, Step } from "../../src/journal/step.ts";
import { realFiles as files } from "../../src/system/files/files.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { Recorder } from "../support/recorder.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

/** A folder in which the same three steps are run again and again, as a person would. */
function place() {
  const folder = temporaryFolder("journal");
  const path = join(folder, "journal.json");
  const faults = new Map<string, string>();
  return {
    folder,
    path,
    faults,
    /** What ran, what was remarked, and how it ended. */
    run: async ({ dies, inputs = {}, stop }: { dies?: string; inputs?: Inputs; stop?: string } = {}) => {
      const ran: string[] = [];
      const controller = new AbortController();
      const step = (id: string): Step => ({
        ...{ id, label: id },
        inputs: { path: `/from/${id}`, ...(id === "export/two" ? inputs : {}) },
        run: () => {
          ran.push(id);
          if (dies === id) return Promise.reject(new Error("the disk fell out"));
          if (stop === id) controller.abort(new Interrupted("SIGINT"));
          return Promise.resolve({ made: id });
        },
        findFault: (outcome) => Promise.resolve(faults.get(outcome["made"] as string)),
      });
      const progress = new Recorder();
      const journal = await Journal.open(path, files);
      const steps = ["export/one", "export/two", "export/three"].map(step);
      const error = await runSteps(steps, {
        journal,
        progress,
        signal: controller.signal,
        now: () => NOW,
      }).then(
        () => undefined,
        (reason: unknown) => reason as Error,
      );
      return { ran, remarks: progress.remarks, error };
    },
  };
}

test("a run that died goes on where it stopped, and a third run does nothing", async () => {
  const { run } = place();
  const first = await run({ dies: "export/two" });
  assert.equal(first.error?.message, "the disk fell out");
  assert.deepEqual(first.ran, ["export/one", "export/two"]);

  const second = await run();
  assert.equal(second.error, undefined);
  assert.deepEqual(second.ran, ["export/two", "export/three"]);
  assert.deepEqual(second.remarks, ["export/one: already done"]);

  const third = await run();
  assert.deepEqual(third.ran, []);
  assert.deepEqual(third.remarks, [
    "export/one: already done",
    "export/two: already done",
    "export/three: already done",
  ]);
});

test("a run that is stopped ends before the next step, and what was just finished is remembered", async () => {
  const { run } = place();
  const first = await run({ stop: "export/two" });
  assert.ok(first.error instanceof Interrupted);
  assert.deepEqual(first.ran, ["export/one", "export/two"]);
  assert.deepEqual((await run()).ran, ["export/three"]);
});

test("a step whose inputs changed runs again, and says what changed", async () => {
  const { run } = place();
  await run({ inputs: { salt: "a", level: 1 } });
  const again = await run({ inputs: { salt: "b", level: 1 } });
  assert.deepEqual(again.ran, ["export/two"]);
  assert.equal(again.remarks[1], "export/two: running again: salt changed since the last run");
  const fewer = await run({ inputs: {} });
  assert.deepEqual(fewer.ran, ["export/two"]);
  assert.match(fewer.remarks[1]!, /salt and level changed|level and salt changed/);
  assert.deepEqual((await run({ inputs: {} })).ran, []);
});

test("what changed is said in words, each once, and not by its name in the journal", async () => {
  const { run } = place();
  await run({ inputs: { state: "a", first: "a", database: "a", marker: "a" } });
  const again = await run({ inputs: { state: "b", first: "b", database: "b", marker: "b" } });
  assert.equal(
    again.remarks[1],
    "export/two: running again: the files in the media store and what was taken of the media before and the database changed since the last run",
  );
});

test("a step whose result is gone or damaged runs again, and says what was found", async () => {
  const { run, faults } = place();
  await run();
  faults.set("export/three", "/bundle/three.gpg is gone");
  const again = await run();
  assert.deepEqual(again.ran, ["export/three"]);
  assert.equal(again.remarks[2], "export/three: running again: /bundle/three.gpg is gone");
});

test("a step that fails while it runs again does not count as done, although it was done before", async () => {
  const { run } = place();
  await run({ inputs: { salt: "a" } });
  await run({ inputs: { salt: "b" }, dies: "export/two" });
  assert.deepEqual(
    (await run({ inputs: { salt: "a" } })).ran,
    ["export/two"],
    "not even with its old inputs",
  );
});

test("the journal is a private file that says what was done, when, and from what", async () => {
  const { run, path, folder } = place();
  await run();
  const said = JSON.parse(readFileSync(path, "utf8")) as { steps: Record<string, unknown> };
  assert.deepEqual(said.steps["export/one"], {
    inputs: { path: "/from/export/one" },
    outcome: { made: "export/one" },
    at: "2026-01-02T03:04:05.000Z",
  });
  assert.deepEqual(readdirSync(folder), ["journal.json"]);
  assert.equal((await files.lstat(path))?.mode, 0o600);
});

test("a torn journal is refused by name, and not taken for an empty one", async () => {
  const { run, path } = place();
  await run();
  const whole = readFileSync(path, "utf8");
  for (const torn of [
    "",
    whole.slice(0, -20),
    "null",
    "{}",
    whole.replace('"version": 1', '"version": 2'),
    whole.replace("synlift-journal", "other"),
  ]) {
    writeFileSync(path, torn);
    await assert.rejects(Journal.open(path, files), {
      code: "bundle-damaged",
      message: new RegExp(`${path} is not a journal`),
    });
  }
  writeFileSync(path, whole);
  assert.deepEqual((await run()).ran, []);
});

test("what a killed run left of a half-written journal changes nothing", async () => {
  const { run, folder, path } = place();
  await run();
  writeFileSync(join(folder, ".journal.json.unfinished"), '{"format": "synl');
  assert.deepEqual((await run()).ran, []);
  const journal = await Journal.open(path, files);
  await journal.setFact("subject", "example.org");
  assert.deepEqual(readdirSync(folder), ["journal.json"]);
});

test("facts outlive the run that set them, and forgetting a step forgets only that one", async () => {
  const { run, path } = place();
  await run();
  const journal = await Journal.open(path, files);
  await journal.setFact("subject", "example.org");
  await journal.removeStep("export/two");
  await journal.removeStep("export/never");
  const again = await Journal.read(path, files);
  assert.deepEqual(again?.facts, { subject: "example.org" });
  assert.deepEqual(Object.keys(again.steps), ["export/one", "export/three"]);
  assert.equal(await Journal.read(`${path}.other`, files), undefined);
});
