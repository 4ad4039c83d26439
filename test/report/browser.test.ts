import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pageHtml } from "../../src/report/html.ts";
import { RealBrowser, type Sight, type Visit } from "../support/browser.ts";
import { EDGES } from "./pages.ts";
import { PLAN_PAGE } from "./samples.ts";

let browser: RealBrowser;
before(async () => {
  browser = await RealBrowser.open();
});
after(() => browser[Symbol.asyncDispose]());

const SIGHTS: readonly Sight[] = [
  { width: 400, scheme: "light" },
  { width: 1400, scheme: "dark" },
  { width: 688, printed: true }, // A4 less its margins
  { width: 400, scheme: "dark", opened: true },
  { width: 1400, scheme: "light", opened: true },
];

for (const [name, page] of Object.entries(EDGES)) {
  test(`${name}: all can be read on a phone, on a wide screen and on paper, by day and by night`, async () => {
    await using visit = await browser.visit(pageHtml(page));
    for (const sight of SIGHTS) {
      assert.deepEqual(await visit.look(sight), [], JSON.stringify(sight));
      await keep(visit, name, sight);
    }
    assert.deepEqual(visit.complaints, []);
    assert.deepEqual(visit.requests, []);
  });
}

test("the page of a plan fills the screen it is shown on", async () => {
  await using visit = await browser.visit(pageHtml(PLAN_PAGE));
  for (const width of [400, 1400]) {
    await visit.look({ width });
    const picture = Buffer.from(await visit.picture());
    assert.equal(picture.readUInt32BE(16), width);
    assert.ok(picture.length > 100_000, `${picture.length} bytes: there is something on it`);
  }
});

test("a click on a command selects all of it and nothing else, as it is to be typed", async () => {
  await using visit = await browser.visit(pageHtml(PLAN_PAGE));
  await visit.look({ width: 400 });
  const commands = PLAN_PAGE.runbook!.steps.flatMap((moment) => moment.commands ?? []);
  assert.deepEqual(await visit.selectedBy("pre"), commands);
});

test("on paper everything is open, on white, and no command or figure is cut in two", async () => {
  await using visit = await browser.visit(pageHtml(PLAN_PAGE));
  await visit.look({ width: 688, scheme: "dark", printed: true });
  assert.equal(await visit.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)");
  await visit.look({ width: 688, scheme: "dark" });
  assert.equal(await visit.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(21, 24, 27)");
  await visit.look({ width: 688, scheme: "dark", printed: true });
  const shown = (await visit.evaluate(
    "[...document.querySelectorAll('td, .evidence li, .finding')].every((one) => one.checkVisibility())",
  )) as boolean;
  assert.ok(shown, "what is closed on the screen is open on paper");
  const whole = (await visit.evaluate(
    "[...document.querySelectorAll('pre, .figure, .finding, .moment')].every((one) => getComputedStyle(one).breakInside === 'avoid')",
  )) as boolean;
  assert.ok(whole);

  const sheets = Buffer.from(await visit.print()).toString("latin1");
  const count = sheets.match(/\/Type \/Page\b/g)?.length ?? 0;
  assert.ok(count >= 4 && count <= 8, `${count} sheets`);
});

test("the check sees what it is there to see", async () => {
  const broken: readonly (readonly [string, RegExp])[] = [
    ["<p style='width:500px'>wide</p>", /px wide, in 400/],
    ["<p style='position:absolute;left:-20px'>left</p>", /"left" reaches out of the page/],
    ["<p style='width:50px;overflow:hidden;white-space:nowrap'>cut off at its end</p>", /is cut off by p/],
    ["<p style='height:5px;overflow:hidden'>half</p>", /"half" is cut off by p/],
    ["<p style='color:#999'>pale</p>", /"pale" has a contrast of 2\.8/],
    ["<p>one</p><p style='margin-top:-30px'>two</p>", /"one" and "two" lie upon each other/],
    ["<p style='width:0;height:0;font-size:0'>none</p>", /"none" has no room at all/],
  ];
  for (const [html, expected] of broken) {
    await using visit = await browser.visit(`<!doctype html>${html}`);
    assert.match((await visit.look({ width: 400 })).join("\n"), expected);
  }
  await using visit = await browser.visit(
    "<script>console.log('x')</script><img src='http://127.0.0.1:9/x.png'>",
  );
  await visit.look({ width: 400 });
  assert.deepEqual(visit.requests, ["http://127.0.0.1:9/x.png"]);
  assert.ok(visit.complaints.includes("x"));
});

/** To look at what the tests looked at: SCREENSHOTS=/some/folder. */
async function keep(visit: Visit, name: string, sight: Sight): Promise<void> {
  const folder = process.env["SCREENSHOTS"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  const how = sight.printed === true ? "print" : `${sight.scheme!}${sight.opened === true ? "-opened" : ""}`;
  writeFileSync(
    join(folder, `${name.replaceAll(" ", "-")}-${sight.width}-${how}.png`),
    await visit.picture(),
  );
}
