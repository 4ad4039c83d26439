import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compareVersions,
  isSince,
  KNOWN,
  oldestFor,
  parseVersion,
  schemaOf,
} from "../../src/homeserver/synapse-versions.ts";
import { inspectVersions, type VersionFacts } from "../../src/homeserver/version/inspect.ts";
import type { TargetVersion } from "../../src/homeserver/version/target.ts";

const version = (text: string) => parseVersion(text)!;

test("versions are read however they are written", () => {
  const cases: Record<string, [[number, number, number], boolean]> = {
    "1.163.2": [[1, 163, 2], false],
    "v1.160.0": [[1, 160, 0], false],
    "1.105": [[1, 105, 0], false],
    "1.160.0-1": [[1, 160, 0], false],
    "1:1.99.0+bookworm1~bpo12": [[1, 99, 0], false],
    "1.105.0rc1": [[1, 105, 0], true],
    "1.105.0~rc2-1": [[1, 105, 0], true],
    "1.157.1 (b=develop,a58ad44,dirty)": [[1, 157, 1], false],
  };
  for (const [text, [numbers, isBefore]] of Object.entries(cases))
    assert.deepEqual(parseVersion(text), { text, numbers, isBefore }, text);
  for (const text of ["", "latest", "Synapse", "12", "v", "999999.1.1"])
    assert.equal(parseVersion(text), undefined, text);
});

test("versions are put in their order", () => {
  const order = ["1.9.0", "1.62.0", "1.105.0", "1.105.1rc1", "1.105.1", "1.105.2", "2.0"];
  for (const [at, text] of order.entries())
    for (const [other, text2] of order.entries())
      assert.equal(
        Math.sign(compareVersions(version(text), version(text2))),
        Math.sign(at - other),
        `${text} ${text2}`,
      );
  assert.ok(isSince(version("1.105.1rc1"), "1.105.1"));
  assert.ok(!isSince(version("1.105.0"), "1.105.1"));
});

test("each version has its schema, up to the newest that is known", () => {
  const schema = (text: string) => schemaOf(version(text));
  assert.deepEqual(schema("1.62.0"), { version: 72, compat: 71 });
  assert.deepEqual(schema("1.105.0"), { version: 84, compat: 83 });
  assert.deepEqual(schema("1.105.1"), { version: 84, compat: 84 });
  assert.deepEqual(schema("1.127.1"), { version: 89, compat: 84 });
  assert.deepEqual(schema("1.160.0"), { version: 94, compat: 84 });
  assert.deepEqual(schema(`${KNOWN.to}.9`), { version: 94, compat: 84 });
  assert.equal(schema("1.61.1"), undefined);
  assert.equal(schema("1.999.0"), undefined);
  assert.equal(schema("2.0.0"), undefined);
});

test("the oldest Synapse for a database is the first with a schema high enough", () => {
  assert.equal(oldestFor(84), "1.100");
  assert.equal(oldestFor(83), "1.96");
  assert.equal(oldestFor(60), "1.62");
  assert.equal(oldestFor(500), undefined);
});

const target = (more: Partial<TargetVersion>): TargetVersion => ({
  url: "https://new.example",
  version: undefined,
  name: undefined,
  trouble: undefined,
  clockAhead: undefined,
  ...more,
});

function found(facts: Partial<VersionFacts> & { on?: string }) {
  const { on, ...more } = facts;
  return inspectVersions({
    source: { version: version("1.127.1"), from: "http://127.0.0.1:8008" },
    schemaVersion: 89,
    compatVersion: 84,
    target: on === undefined ? undefined : target({ version: version(on), name: `Synapse ${on}` }),
    ...more,
  });
}

const told = (facts: Parameters<typeof found>[0]) => found(facts).map(({ id, level }) => `${id} ${level}`);

test("the same version on both hosts is all right", () => {
  assert.deepEqual(told({ on: "1.127.1" }), ["source-version ok", "schema-source ok", "target-version ok"]);
});

test("a target that does not start on this database is a blocker, and is told what would", () => {
  assert.deepEqual(told({ on: "1.99.0" }).slice(2), ["target-too-old blocker"]);
  const [, , finding] = found({ on: "1.99.0" });
  assert.match(finding!.hint!, /install Synapse 1\.127\.1 there; 1\.100 is the oldest/);
  // Older than any in the table.
  assert.deepEqual(told({ on: "1.40.0" }).slice(2), ["target-too-old blocker"]);
  assert.deepEqual(told({ on: "1.40.0", compatVersion: 70 }).slice(2), ["target-version warning"]);
  // Nobody knows the source's version: the database alone decides.
  assert.deepEqual(told({ on: "1.99.0", source: undefined }), [
    "source-version note",
    "target-too-old blocker",
  ]);
});

test("an older target that starts is a warning, a newer one a note with the steps that it takes", () => {
  assert.deepEqual(told({ on: "1.100.0" }).slice(2), ["target-version warning"]);
  assert.deepEqual(told({ on: "1.127.0" }).slice(2), ["target-version warning"]);
  const [, , newer] = found({ on: "1.160.0" });
  assert.deepEqual([newer?.id, newer?.level], ["target-version", "note"]);
  assert.match(newer!.sentence, /a newer Synapse: 1\.160\.0; it changes the schema over 5 versions/);
  assert.match(found({ on: "1.127.2" })[2]!.sentence, /the schema stays as it is/);
});

test("a version that is not known says so", () => {
  assert.deepEqual(told({ on: "1.999.0" }).slice(2), ["target-version note"]);
  assert.match(found({ on: "1.999.0" })[2]!.sentence, /newer than this synlift knows/);
  const source = { version: version("1.999.0"), from: "x" };
  assert.deepEqual(told({ source, on: "1.999.0" }), ["source-version note", "target-version ok"]);
  assert.deepEqual(told({ source: undefined, on: "1.160.0" }), [
    "source-version note",
    "target-version note",
  ]);
});

test("a database that does not fit its own Synapse is told", () => {
  assert.deepEqual(told({ schemaVersion: 88 })[1], "schema-source note");
  assert.deepEqual(told({ schemaVersion: 92 })[1], "schema-source note");
  assert.deepEqual(told({ schemaVersion: 95, compatVersion: 90 })[1], "schema-source warning");
  assert.deepEqual(told({ schemaVersion: undefined, compatVersion: undefined }), [
    "source-version ok",
    "target-version note",
  ]);
});

test("without a target, the oldest version that would do is told", () => {
  const [, , finding] = found({});
  assert.deepEqual([finding?.id, finding?.level], ["target-version", "note"]);
  assert.match(finding!.sentence, /needs Synapse 1\.100 or newer/);
});

test("a target that does not answer or is something else leaves the rest as it is", () => {
  const silent = target({ trouble: "the connection was refused" });
  assert.deepEqual(told({ target: silent }), [
    "source-version ok",
    "schema-source ok",
    "target-unreachable warning",
  ]);
  const other = target({ name: "Dendrite 0.13.7" });
  assert.deepEqual(told({ target: other }).at(-1), "target-not-synapse warning");
});

test("a clock that is a minute away is warned of, one that is a second away is not", () => {
  const clock = (clockAhead: number) =>
    found({ target: target({ version: version("1.127.1"), clockAhead }) }).at(-1)!;
  for (const seconds of [-60, -1, 0, 60]) assert.equal(clock(seconds).level, "ok");
  assert.match(clock(-3600).sentence, /is 1 h 00 min behind/);
  assert.match(clock(61).sentence, /is 1 min 01 s ahead of/);
  assert.equal(clock(61).level, "warning");
});
