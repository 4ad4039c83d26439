import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatAmount,
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
  formatRate,
  formatShare,
  percentOf,
} from "../../src/report/units.ts";

const GIB = 1024 ** 3;

test("bytes are told in binary units, with a decimal while it says something", () => {
  const told = [0, 1, 1023, 1024, 1536, 1.4 * GIB, 99.9 * GIB, 212 * 1024 ** 2, 5000 * 1024 ** 5].map(
    formatBytes,
  );
  assert.deepEqual(told, [
    "0 B",
    "1 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "1.4 GiB",
    "99.9 GiB",
    "212 MiB",
    "5000 PiB",
  ]);
});

test("a size just below a unit is not told as 1024 of the smaller one", () => {
  assert.equal(formatBytes(1024 ** 2 - 1), "1.0 MiB");
  assert.equal(formatBytes(1023.4 * 1024), "1023 KiB");
  assert.equal(formatBytes(99.96 * 1024), "100 KiB");
});

test("counts are grouped by threes", () => {
  assert.deepEqual([0, 999, 1000, 1234567, 12345678901].map(formatCount), [
    "0",
    "999",
    "1,000",
    "1,234,567",
    "12,345,678,901",
  ]);
});

test("one of a kind is told in the singular", () => {
  assert.equal(formatAmount(1, "files"), "1 file");
  assert.equal(formatAmount(1234, "rows"), "1,234 rows");
  assert.equal(formatAmount(1024, "bytes"), "1.0 KiB");
});

test("a share names its unit once where both numbers have the same", () => {
  assert.equal(formatShare(1.2 * GIB, 2.7 * GIB, "bytes"), "1.2 / 2.7 GiB");
  assert.equal(formatShare(512 * 1024 ** 2, 2.7 * GIB, "bytes"), "512 MiB / 2.7 GiB");
  assert.equal(formatShare(0, 1, "files"), "0 / 1 file");
  assert.equal(formatShare(12, 1234, "files"), "12 / 1,234 files");
});

test("rates carry their unit, and an unknown one is a dash", () => {
  assert.equal(formatRate(212 * 1024 ** 2, "bytes"), "212 MiB/s");
  assert.equal(formatRate(0.42, "files"), "0.4 files/s");
  assert.equal(formatRate(1234.4, "rows"), "1,234 rows/s");
  assert.equal(formatRate(undefined, "bytes"), "-");
  assert.equal(formatRate(0, "bytes"), "0 B/s");
});

test("durations grow from tenths of a second to days", () => {
  const told = [0, 0.04, 3.44, 9.95, 47, 59.5, 60, 200, 3599.6, 7500, 86399, 86400 * 3 + 4 * 3600].map(
    formatDuration,
  );
  assert.deepEqual(told, [
    "0 s",
    "0 s",
    "3.4 s",
    "10 s",
    "47 s",
    "1 min 00 s",
    "1 min 00 s",
    "3 min 20 s",
    "1 h 00 min",
    "2 h 05 min",
    "1 d 00 h",
    "3 d 04 h",
  ]);
});

test("a running clock keeps minutes and seconds", () => {
  assert.deepEqual([0, 42.9, 60, 3725, -3, NaN].map(formatClock), [
    "0 min 00 s",
    "0 min 42 s",
    "1 min 00 s",
    "1 h 02 min 05 s",
    "0 min 00 s",
    "0 min 00 s",
  ]);
});

test("what nobody can know is a dash, never a wild figure", () => {
  for (const wild of [NaN, Infinity, -1]) {
    assert.equal(formatBytes(wild), "-");
    assert.equal(formatCount(wild), "-");
    assert.equal(formatDuration(wild), "-");
    assert.equal(formatRate(wild, "rows"), "-");
  }
});

test("a hundred percent means all of it", () => {
  assert.equal(percentOf(999_999, 1_000_000), 99);
  assert.equal(percentOf(1_000_000, 1_000_000), 100);
  assert.equal(percentOf(0, 0), 100);
  assert.equal(percentOf(2, 1), undefined);
  assert.equal(percentOf(2, undefined), undefined);
});

test("no number makes a text that is long or broken", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), (value) => {
      assert.match(formatBytes(value), /^(\d{1,4}|\d{1,2}\.\d) ([KMGTP]i)?B$/);
      assert.match(formatDuration(value), /^[\d.]+ (s|min \d\d s|h \d\d min|d \d\d h)$/);
      assert.match(formatCount(value), /^\d{1,3}(,\d{3})*$/);
    }),
  );
});
