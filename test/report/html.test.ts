import assert from "node:assert/strict";
import { test } from "node:test";
import { pageHtml } from "../../src/report/html.ts";
import { matchesGolden } from "./golden.ts";
import { HOSTILE_PAGE, PAGE } from "./pages.ts";
import { mediaByAge, PLAN_PAGE } from "./samples.ts";

/** Everything between < and >, in order. */
const tagsOf = (document: string) => [...document.matchAll(/<[^>]*>/g)].map(([tag]) => tag);

test("the page is a stable text", () => {
  matchesGolden("page.html", pageHtml(PAGE));
});

test("a page of hostile strings is a stable text too", () => {
  matchesGolden("page-hostile.html", pageHtml(HOSTILE_PAGE));
});

test("the page of a plan is a stable text", () => {
  matchesGolden("page-plan.html", pageHtml(PLAN_PAGE));
});

test("no string becomes an element or an attribute, whatever it holds", () => {
  const names = new Set(tagsOf(pageHtml(HOSTILE_PAGE)).map((tag) => /^<([/!]?[a-z0-9]*)/.exec(tag)![1]));
  for (const name of ["script", "img", "i", "u", "timeline"]) assert.ok(!names.has(name), name);
  for (const tag of tagsOf(pageHtml(HOSTILE_PAGE))) assert.doesNotMatch(tag, /\son[a-z]+=/, tag);
  assert.equal(pageHtml(HOSTILE_PAGE).match(/<\/?style>/g)?.length, 2);
});

test("every element that opens closes", () => {
  for (const page of [PAGE, HOSTILE_PAGE, PLAN_PAGE]) {
    const open: string[] = [];
    for (const tag of tagsOf(pageHtml(page))) {
      const [, closes, name = ""] = /^<(\/?)([a-z0-9]+)/.exec(tag) ?? [];
      if (["", "meta", "wbr"].includes(name)) continue;
      if (closes === "/") assert.equal(open.pop(), name);
      else open.push(name);
    }
    assert.deepEqual(open, []);
  }
});

test("the page asks nobody for anything, and forbids it", () => {
  for (const document of [PAGE, PLAN_PAGE].map(pageHtml)) {
    assert.doesNotMatch(document, /\b(src|href|srcset|action)=|url\(|@import/);
    assert.match(
      document,
      /content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"/,
    );
  }
});

test("characters that turn the reading direction around are shown, not obeyed", () => {
  assert.doesNotMatch(pageHtml(HOSTILE_PAGE), /[\u202a-\u202e\u2066-\u2069]/);
  assert.match(pageHtml(HOSTILE_PAGE), /\\u\{202e\}gnp\.exe/);
});

test("figures that make no sense draw no bar", () => {
  const widths = [...pageHtml(HOSTILE_PAGE).matchAll(/style="width:([^"]*)"/g)].map(([, width]) => width);
  assert.deepEqual(widths, ["0.00%", "0.00%", "0.00%", "100.00%"]);
});

test("every figure that is drawn is also there as text", () => {
  const document = pageHtml(PLAN_PAGE);
  const table = /<table>.*<\/table>/s.exec(document)![0];
  for (const { label, values, total } of mediaByAge(24).columns) {
    const row = table.split("<tr>").find((text) => text.includes(`>${label}<`))!;
    for (const text of [...values.map((amount) => amount.text), total!])
      assert.ok(row.includes(`<td>${text}</td>`), `${label}: ${text}`);
  }
  assert.match(document, /Before, while the server is running: 1 h 21 min/);
  assert.match(document, /The outage: 9 min 02 s/);
});

test("however many columns there are, few are named, and none is left out", () => {
  for (const count of [1, 6, 7, 12, 13, 23, 24, 60]) {
    const document = pageHtml({ ...PLAN_PAGE, columns: [mediaByAge(count)] });
    assert.equal(document.match(/class="column[ "]/g)?.length, count);
    assert.equal(document.match(/<th scope="row"/g)?.length, count);
    for (const [size, most] of [
      ["narrow", 6],
      ["wide", 12],
    ] as const) {
      const names = document.match(new RegExp(`class="tick ${size} `, "g"))!.length;
      assert.ok(names <= most && names >= Math.min(count, most / 2), `${count} columns, ${names} names`);
    }
  }
});

test("columns that make no sense are not drawn, and one that is alone says its value itself", () => {
  const values = [NaN, Infinity, -3, 0, 2].map((value) => ({
    label: "l",
    values: [{ value, text: String(value) }],
  }));
  const document = pageHtml({
    ...PLAN_PAGE,
    columns: [{ title: "t", series: ["one"], columns: values }],
  });
  const shares = [...document.matchAll(/--share:([^"]*)"/g)].map(([, share]) => share);
  assert.deepEqual(shares, ["0.0000", "0.0000", "0.0000", "0.0000", "1.0000"]);
  assert.doesNotMatch(document, /class="series"|together/);
});

test("a command is written as it is to be typed, and the point of no return is said in words", () => {
  const command = `psql -c "SELECT '<b>'" \\\n\t&& echo \u001b[2J done`;
  const document = pageHtml({
    ...PLAN_PAGE,
    runbook: { title: "t", steps: [{ title: "m", commands: [command], tone: "no-return" }] },
  });
  const block = /<pre dir="ltr"><code>(.*?)<\/code>/s.exec(document)![1]!;
  const text = block
    .replace(/<[^>]*>/g, "")
    .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)));
  assert.equal(text, `psql -c "SELECT '<b>'" \\\n && echo \\u{1b}[2J done`);
  assert.match(document, />point of no return</);
});

test("the gravest findings come first, and a section with nothing to say is left out", () => {
  const document = pageHtml(HOSTILE_PAGE);
  assert.ok(document.indexOf("Blockers") < document.indexOf("Warnings"));
  assert.ok(document.indexOf("Warnings") < document.indexOf("In order"));
  const { title, lead, verdict, footer } = PAGE;
  const bare = pageHtml({ title, lead, verdict, footer, facts: [], findings: [], bars: [] });
  assert.doesNotMatch(bare.replace(/<style>.*<\/style>/s, ""), /Findings|<dl|<ol|<ul/);
});
