import assert from "node:assert/strict";
import { test } from "node:test";
import { measureThroughput } from "../../src/bundle/throughput.ts";
import type { GzipProgram } from "../../src/pipeline/gzip-program.ts";
import { noise } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { lockWith, programsWith } from "../support/real-world.ts";

const machine = machineWith();

test("a sample tells how fast and how small, and leaves nothing behind", async () => {
  const text = Buffer.from("the same line of a log, over and over\n".repeat(30_000));
  const pace = await measureThroughput([text, text], { level: 1, keys: lockWith(), machine });
  assert.ok(pace.ratio > 0 && pace.ratio < 0.1, `${pace.ratio}`);
  for (const rate of [pace.packing, pace.readingBack])
    assert.ok(rate > 100_000 && Number.isFinite(rate), `${rate}`);
  assert.ok(pace.secondsPerArtifact > 0 && pace.secondsPerArtifact < 30);
});

test("with a program that compresses, it is that which is measured", async () => {
  const text = Buffer.from("the same line of a log, over and over\n".repeat(30_000));
  const programs = programsWith();
  const gzip = {
    name: "igzip",
    compress: (source) => programs.pipe({ name: "sh", args: ["-c", "gzip -1; sleep 0.3"] }, source),
  } satisfies GzipProgram;
  const pace = await measureThroughput([text], { level: 1, keys: lockWith(), machine: machineWith(), gzip });
  assert.ok(pace.ratio < 0.1, `${pace.ratio}`);
  assert.ok(pace.secondsPerArtifact > 0.3, `${pace.secondsPerArtifact}`);
});

test("what is compressed already does not shrink, and is not grown either", async () => {
  const pace = await measureThroughput([noise(500_000, 1)], { level: 0, keys: lockWith(), machine });
  assert.ok(pace.ratio > 0.99 && pace.ratio < 1.01, `${pace.ratio}`);
});

test("without a sample there is still an answer that can be reckoned with", async () => {
  const pace = await measureThroughput([], { level: 1, keys: lockWith(), machine });
  assert.equal(pace.ratio, 1);
  assert.ok(pace.packing > 0 && pace.readingBack > 0);
});
