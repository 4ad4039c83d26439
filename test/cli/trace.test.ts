import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import { MigrationError } from "../../src/errors.ts";
import { type Files, realFiles } from "../../src/system/files/files.ts";
import { addTime, beginSpan, shortTime, traced } from "../../src/system/trace/trace.ts";
import { TraceFile } from "../../src/system/trace/trace-file.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { lockWith, PASSPHRASE } from "../support/real-world.ts";
import { makeSmallBundle } from "../support/small-bundle.ts";
import { smallDisk } from "../support/small-disk.ts";
import { resultOf, synlift } from "../support/synlift.ts";

/** Google's "Trace Event Format", the object form, with the kinds of events that synlift writes. */
const common = { pid: z.int(), tid: z.int(), name: z.string().min(1) };
const schema = z.strictObject({
  displayTimeUnit: z.literal("ms"),
  otherData: z.strictObject({ program: z.string(), command: z.string() }),
  traceEvents: z.array(
    z.discriminatedUnion("ph", [
      z.strictObject({
        ...common,
        ph: z.literal("X"),
        cat: z.string(),
        ts: z.number().min(0),
        dur: z.number().min(0),
        args: z.record(z.string(), z.unknown()),
      }),
      z.strictObject({
        ...common,
        ph: z.literal("C"),
        ts: z.number().min(0),
        args: z.record(z.string(), z.number()),
      }),
      z.strictObject({ ...common, ph: z.literal("M"), args: z.record(z.string(), z.unknown()) }),
    ]),
  ),
});

const read = (path: string) => schema.parse(JSON.parse(readFileSync(path, "utf8")));
const spansOf = (path: string) => read(path).traceEvents.flatMap((one) => (one.ph === "X" ? [one] : []));

const options = (files: Pick<Files, "begin"> = realFiles) => ({
  files,
  pid: 7,
  command: "export",
  program: "synlift",
  usage: () => ({ processor: 1, memory: 2 }),
});

test("a run that succeeds, one that fails and one that is interrupted each leave a trace that can be opened", async (t) => {
  const folder = temporaryFolder("trace");
  const bundle = { folder: join(folder, "bundle-of-alice") };
  mkdirSync(bundle.folder, { mode: 0o700 });
  await makeSmallBundle({ ...bundle, lock: lockWith() });
  const key = join(folder, "key");
  writeFileSync(key, PASSPHRASE, { mode: 0o600 });
  const [good, bad, broken] = ["good", "bad", "broken"].map((name) => join(folder, `${name}.json`)) as [
    string,
    string,
    string,
  ];

  await t.test("with its tasks, and the programs with their names and how they ended", async () => {
    const ran = await synlift(["verify", bundle.folder, "--passphrase-file", key, "--trace", good, "--json"]);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(resultOf(ran).findings.length > 0, true);
    assert.equal(statSync(good).mode & 0o777, 0o600);
    const spans = spansOf(good);
    const gpg = spans.filter(({ cat, name }) => cat === "program" && name === "gpg");
    assert.ok(gpg.length > 0 && gpg.every(({ args }) => args["code"] === 0 && Number(args["pid"]) > 0));
    const whole = spans.find(({ cat }) => cat === "command")!;
    assert.deepEqual([whole.name, whole.args["exitCode"]], ["verify", 0]);
    assert.ok(spans.some(({ cat, args }) => cat === "task" && Number(args["bytes"]) > 0));
    for (const { ts, dur } of spans) assert.ok(ts + dur <= whole.ts + whole.dur);
  });

  await t.test("also when it failed", async () => {
    const ran = await synlift(
      ["verify", bundle.folder, "--passphrase-command", "echo hunter2", "--trace", "bad.json"],
      { folder },
    );
    assert.notEqual(ran.code, 0);
    assert.equal(spansOf(bad).find(({ cat }) => cat === "command")?.args["exitCode"], ran.code);
  });

  await t.test("also when it was interrupted", async () => {
    const begun = join(folder, "begun");
    const ran = await synlift(
      [
        ...["verify", bundle.folder, "--trace", broken],
        ...["--passphrase-command", `touch ${begun}; exec sleep 600`],
      ],
      {
        started(child) {
          const look = setInterval(() => {
            if (!existsSync(begun)) return;
            clearInterval(look);
            child.kill("SIGINT");
          }, 20);
        },
      },
    );
    const spans = spansOf(broken);
    assert.equal(spans.find(({ cat }) => cat === "command")?.args["exitCode"], ran.code);
    assert.ok(spans.some(({ cat, args }) => cat === "program" && args["signal"] === "SIGKILL"));
  });

  await t.test("and holds no argument, no secret and no path", () => {
    for (const path of [good, bad, broken]) {
      const text = readFileSync(path, "utf8");
      for (const secret of [PASSPHRASE, "hunter2", folder, "alice", "echo", "sleep 600", "passphrase"])
        assert.ok(!text.includes(secret), `${secret} in ${path}`);
    }
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith(".")),
      [],
    );
  });
});

test("a trace that cannot be begun is refused before anything is done", async () => {
  const folder = temporaryFolder("trace");
  const ran = await synlift(["verify", folder, "--trace", join(folder, "none", "trace.json")]);
  assert.match(ran.stderr, /cannot create .*none/);
  assert.notEqual(ran.code, 0);
});

test("spans of one kind that overlap are in rows of their own, and each row is named", async () => {
  const path = join(temporaryFolder("trace"), "trace.json");
  const file = await TraceFile.begin(path, options());
  const [first, second] = [beginSpan("step", "first"), beginSpan("step", "second")];
  first({ bytes: 5 });
  await traced("step", "third", () => Promise.resolve());
  second();
  await assert.rejects(
    traced("wait", "fails", () => Promise.reject(new MigrationError("disk-full", "/secret is full"))),
  );
  beginSpan("task", "still running");
  addTime("statements", shortTime());
  addTime("statements", shortTime());
  assert.equal(await file.close({ exitCode: 0 }), undefined);

  const spans = new Map(spansOf(path).map((span) => [span.name, span]));
  assert.notEqual(spans.get("first")!.tid, spans.get("second")!.tid);
  assert.equal(spans.get("third")!.tid, spans.get("first")!.tid);
  assert.deepEqual(spans.get("first")!.args, { bytes: 5 });
  assert.deepEqual(spans.get("fails")!.args, { failed: "disk-full" });
  assert.deepEqual(spans.get("still running")!.args, { unfinished: true });
  assert.equal((spans.get("export")!.args["statements"] as { count: number }).count, 2);
  const named = new Set(read(path).traceEvents.flatMap((one) => (one.ph === "M" ? [one.tid] : [])));
  for (const { tid } of spans.values()) assert.ok(named.has(tid));
});

test("a full disk costs the trace and nothing else, and leaves no part of it", async (t) => {
  const disk = await smallDisk(t);
  const file = await TraceFile.begin(join(disk, "trace.json"), options());
  for (let at = 0; at < 20_000; at += 1) beginSpan("step", `a step with a long name, ${at}`)();
  const lost = await file.close({ exitCode: 0 });
  assert.ok(lost?.error instanceof MigrationError && lost.error.code === "disk-full");
  assert.deepEqual(readdirSync(disk), []);
});

test("when nobody traces, nothing is measured", async () => {
  assert.equal(shortTime(), undefined);
  addTime("statements", shortTime());
  beginSpan("step", "of no trace")({ bytes: 1 });
  assert.equal(await traced("step", "of no trace", () => Promise.resolve(3)), 3);
});
