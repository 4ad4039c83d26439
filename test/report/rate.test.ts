import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Rate } from "../../src/report/rate.ts";

test("nothing is claimed before enough was seen", () => {
  const rate = new Rate(0);
  rate.add(1000, 500);
  assert.equal(rate.perSecond(1_999), undefined);
  assert.equal(rate.perSecond(2_000), 500);
  assert.equal(rate.remaining(1000, 4_999), undefined);
  assert.equal(rate.remaining(1000, 5_000), 5);
});

test("a steady stream has its own rate, also after the window has moved on", () => {
  const rate = new Rate(1_000);
  for (let second = 1; second <= 600; second += 1) rate.add(50, 1_000 + second * 1000 - 1);
  assert.equal(rate.perSecond(601_000 - 1), 6000 / 119.999);
});

test("what was fast ten minutes ago is forgotten", () => {
  const rate = new Rate(0);
  rate.add(1_000_000, 100);
  for (let second = 600; second < 720; second += 1) rate.add(10, second * 1000);
  const now = rate.perSecond(719_999)!;
  assert.ok(now > 9.9 && now < 10.1, `${now}`);
});

test("work that hangs has a rate of nothing and no time left that anybody knows", () => {
  const rate = new Rate(0);
  rate.add(500, 1_000);
  assert.equal(rate.perSecond(500_000), 0);
  assert.equal(rate.remaining(1, 500_000), undefined);
});

test("a hang shows as a falling rate before it is forgotten", () => {
  const rate = new Rate(0);
  rate.add(1000, 9_000);
  assert.equal(rate.perSecond(10_000), 100);
  assert.equal(rate.perSecond(100_000), 10);
});

test("beyond 99 days the time left is unknown", () => {
  const rate = new Rate(0);
  rate.add(1, 1_000);
  assert.equal(rate.remaining(1e12, 10_000), undefined);
});

test("a clock that goes back stands still", () => {
  const rate = new Rate(0);
  rate.add(100, 10_000);
  assert.equal(rate.perSecond(3_000), 10);
});

test("whatever is done and whenever it is asked, no figure is negative or not a number", () => {
  const wild = fc.oneof(fc.double(), fc.integer({ min: -5, max: 1_000_000 }));
  const move = fc.record({ wait: fc.integer({ min: -2_000, max: 200_000 }), units: wild, left: wild });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e12 }), fc.array(move, { maxLength: 60 }), (began, moves) => {
      const rate = new Rate(began);
      let now = began;
      for (const { wait, units, left } of moves) {
        now += wait;
        rate.add(units, now);
        for (const figure of [rate.perSecond(now), rate.remaining(left, now)]) {
          assert.ok(figure === undefined || figure >= 0, `${figure}`);
        }
      }
    }),
  );
});
