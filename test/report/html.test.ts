import assert from "node:assert/strict";
import { test } from "node:test";
import { pageHtml } from "../../src/report/html.ts";
import { matchesGolden } from "./golden.ts";
import { HOSTILE_PAGE, PAGE } from "./pages.ts";

/** Everything between < and >, in order. */
const tagsOf = (document: string) => [...document.matchAll(/<[^>]*>/g)].map(([tag]) => tag);

test("the page is a stable text", () => {
  matchesGolden("page.html", pageHtml(PAGE));
});

test("a page of hostile strings is a stable text too", () => {
  matchesGolden("page-hostile.html", pageHtml(HOSTILE_PAGE));
});

test("no string becomes an element or an attribute, whatever it holds", () => {
  const names = new Set(tagsOf(pageHtml(HOSTILE_PAGE)).map((tag) => /^<([/!]?[a-z0-9]*)/.exec(tag)![1]));
  for (const name of ["script", "img", "i", "u", "timeline"]) assert.ok(!names.has(name), name);
  for (const tag of tagsOf(pageHtml(HOSTILE_PAGE))) assert.doesNotMatch(tag, /\son[a-z]+=/, tag);
  assert.equal(pageHtml(HOSTILE_PAGE).match(/<\/?style>/g)?.length, 2);
});

test("every element that opens closes", () => {
  for (const page of [PAGE, HOSTILE_PAGE]) {
    const open: string[] = [];
    for (const tag of tagsOf(pageHtml(page))) {
      const [, closes, name = ""] = /^<(\/?)([a-z0-9]+)/.exec(tag) ?? [];
      if (name === "" || name === "meta") continue;
      if (closes === "/") assert.equal(open.pop(), name);
      else open.push(name);
    }
    assert.deepEqual(open, []);
  }
});

test("the page asks nobody for anything, and forbids it", () => {
  const document = pageHtml(PAGE);
  assert.doesNotMatch(document, /\b(src|href|srcset|action)=|url\(|@import/);
  assert.match(
    document,
    /content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"/,
  );
});

test("characters that turn the reading direction around are shown, not obeyed", () => {
  assert.doesNotMatch(pageHtml(HOSTILE_PAGE), /[\u202a-\u202e\u2066-\u2069]/);
  assert.match(pageHtml(HOSTILE_PAGE), /\\u\{202e\}gnp\.exe/);
});

test("figures that make no sense draw no bar", () => {
  const widths = [...pageHtml(HOSTILE_PAGE).matchAll(/style="width:([^"]*)"/g)].map(([, width]) => width);
  assert.deepEqual(widths, ["0.00%", "0.00%", "0.00%", "100.00%"]);
});

test("the gravest findings come first, and a section with nothing to say is left out", () => {
  const document = pageHtml(HOSTILE_PAGE);
  assert.ok(document.indexOf("Blockers") < document.indexOf("Warnings"));
  assert.ok(document.indexOf("Warnings") < document.indexOf("In order"));
  const { title, lead, verdict, foot } = PAGE;
  const bare = pageHtml({ title, lead, verdict, foot, facts: [], findings: [], bars: [] });
  assert.doesNotMatch(bare.replace(/<style>.*<\/style>/s, ""), /Findings|<dl|<ol|<ul/);
});
