import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pageHtml } from "../../src/report/html.ts";
import type { Redaction } from "../../src/report/placeholders.ts";
import { redactor } from "../../src/report/redact.ts";
import { EDGES } from "./pages.ts";
import { PLAN_PAGE } from "./samples.ts";

const HIDDEN: readonly Redaction[] = [
  { text: "example.org", placeholder: "server-1" },
  { text: "old.example.org", placeholder: "old-host" },
  { text: "@alice:example.org", placeholder: "person-1" },
  { text: "alice", placeholder: "person-1" },
  { text: "secret stuff", placeholder: "folder-a" },
  { text: "old", placeholder: "name-a" },
];
const { text } = redactor(HIDDEN);

test("the longest name goes first, as a whole word, hosts in any case", () => {
  assert.equal(text("from old.example.org to EXAMPLE.org"), "from old-host to server-1");
  assert.equal(
    text("matrix.example.org:443, example.org_backup.tar"),
    "matrix.server-1:443, server-1_backup.tar",
  );
  assert.equal(text("the old one is older, Old and bold"), "the name-a one is older, Old and bold");
  assert.equal(text("alice and malice in 'secret stuff'"), "person-1 and malice in 'folder-a'");
});

test("a name that says whose it is does not hide in a longer word or an encoding", () => {
  assert.equal(text("myexample.org and MyExample.org, example.orgs"), "name-1 and name-1, name-2");
  assert.equal(text("https://x/%40bob%3Aexample.org"), "https://x/%40bob%3Aserver-1");
  assert.equal(text("{\\nexample.org}"), "{\\nserver-1}");
});

test("ids and mail get stand-ins, the same one each time, and hosts that are known keep theirs", () => {
  assert.equal(text("@alice:example.org, @ALICE:example.org"), "person-1, person-1");
  const { text: fresh } = redactor(HIDDEN);
  assert.equal(
    fresh("@bob:example.org @bob:other.net:8448 @bob:example.org @alice:other.net."),
    "@user-1:server-1 @user-2:host-1:8448 @user-1:server-1 @person-1:host-1.",
  );
  assert.equal(fresh("#plans:example.org !aBc:hs1"), "#name-1:server-1 !name-2:host-2");
  assert.equal(
    fresh("mail bob@other.net, root@old.example.org:/srv"),
    "mail user-3@host-1, root@old-host:/srv",
  );
  assert.equal(
    fresh("worker@one.service, node@24.1.0, at 12:34:56"),
    "worker@one.service, node@24.1.0, at 12:34:56",
  );
});

test("addresses get stand-ins, but for those that everybody has", () => {
  const { text: fresh } = redactor([{ text: "203.0.113.9", placeholder: "new-host" }]);
  assert.equal(
    fresh("203.0.113.7:5432 [2001:db8::1]:8008 2001:0DB8:0::1 203.0.113.7 fe80::1%eth0 ::ffff:203.0.113.7"),
    "address-1:5432 [address-2]:8008 address-2 address-1 address-3%eth0 address-4",
  );
  assert.equal(fresh("203.0.113.9/32, listen:2001:db8::2"), "new-host/32, listen:address-5");
  const plain = "127.0.0.1:8008 ::1 0.0.0.0 :: 1.2.3.4.5 v1.2.3.4 10:33:48 300.1.1.1 Foo::bar 1::text";
  assert.equal(fresh(plain), plain);
});

test("no stand-in is given to two names", () => {
  const { text: fresh } = redactor([{ text: "carol", placeholder: "user-1" }]);
  assert.equal(fresh("@dave:a.b @carol:a.b"), "@user-2:host-1 @user-1:host-1");
});

test("no stand-in has a given name in it: a database called name, a user called user, a bridge called 1", () => {
  const given = ["name", "user", "host", "folder", "file", "address", "1", "host-2", "somehost"];
  const { text: fresh } = redactor(
    [
      ...given.map((one, index) => ({ text: one, placeholder: `Ω${index}Ω` })),
      { text: "example.org", placeholder: "Ω" },
    ],
    { paths: { keep: [] } },
  );
  const shown = fresh("myexample.org @bob:a.b 203.0.113.7 /srv/acme/x.tar name @carol:c.d");
  assert.equal(
    shown,
    "somename-2 @someuser-2:somesomehost-2 someaddress-2 /srv/somefolder-2/somefile-2.tar Ω0Ω @someuser-3:somesomehost-3",
  );
});

test("paths keep what every system has, and what is asked for, and nothing else", () => {
  const { text: fresh } = redactor(
    [
      { text: "/srv/our place", placeholder: "place-1" },
      { text: "/srv/chat", placeholder: "/place-2" },
    ],
    {
      paths: { keep: ["server.yaml", "media_store"] },
    },
  );
  assert.equal(fresh("/etc/acme/server.yaml can be read"), "/etc/folder-1/server.yaml can be read");
  assert.equal(fresh("below /srv/acme/media_store/x.tar.gz."), "below /srv/folder-1/media_store/file-1.gz.");
  assert.equal(
    fresh("host:/srv/acme/x.tar.gz /srv/chat/acme"),
    "host:/srv/folder-1/file-1.gz /place-2/folder-1",
  );
  assert.equal(fresh("/srv/our place/acme, ~/acme/"), "place-1/folder-1, ~/folder-1/");
  assert.equal(fresh("https://host/path, and/or, 1/2, / alone"), "https://host/path, and/or, 1/2, / alone");
  assert.equal(text("/srv/acme stays when it is not asked for"), "/srv/acme stays when it is not asked for");
});

test("what is ours stays ours: ids, levels, tones and names of fields", () => {
  const words = ["config-pepper-lost", "warning", "blocker", "no-return", "outage", "database", "ok"];
  const { page, value } = redactor(words.map((word, index) => ({ text: word, placeholder: `x${index}` })));
  const redacted = page(PLAN_PAGE);
  assert.deepEqual(
    redacted.findings.map(({ id, level }) => [id, level]),
    PLAN_PAGE.findings.map(({ id, level }) => [id, level]),
  );
  assert.equal(redacted.verdict.level, "blocker");
  assert.deepEqual(
    redacted.runbook!.steps.map(({ tone }) => tone),
    PLAN_PAGE.runbook!.steps.map(({ tone }) => tone),
  );
  assert.deepEqual(value({ database: "database", rows: [1, null, true] }), {
    database: "x5",
    rows: [1, null, true],
  });
});

test("names of fields that are names of people are left out too, and no value gets lost", () => {
  const { value } = redactor(HIDDEN);
  assert.deepEqual(
    value({ "@alice:example.org": 1, "@ALICE:EXAMPLE.ORG": 2, sizes: { "old.example.org": 3 } }),
    {
      "person-1": 1,
      "person-1 (2)": 2,
      sizes: { "old-host": 3 },
    },
  );
});

test("a page without names still says what there is to do", () => {
  const { page } = redactor([
    { text: "example.org", placeholder: "server-1" },
    { text: "old.example.org", placeholder: "old-host" },
    { text: "new.example.net", placeholder: "new-host" },
    { text: "example.net", placeholder: "domain-2" },
  ]);
  const html = pageHtml(page(PLAN_PAGE));
  assert.doesNotMatch(html, /example\.(org|net)|203\.0\.113|198\.51\.100/i);
  assert.match(html, /The move of server-1/);
  for (const edge of Object.values(EDGES)) assert.ok(pageHtml(page(edge)).length > 1000);
});

test("no given name survives anywhere, however deep, and however it is joined to what is around it", () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9]{1,7}$/);
  const host = fc.tuple(label, label).map(([a, b]) => `${a}.${b}`);
  const name = fc.oneof(
    host,
    fc.tuple(label, host).map(([user, at]) => `@${user}:${at}`),
    fc.tuple(label, label).map(([a, b]) => `/srv/${a}/${b}`),
    fc.tuple(label, label).map(([a, b]) => `${a} ${b}`),
    // One that begins with a small number can come about by chance, of a stand-in's number and what is behind it.
    fc.oneof(fc.ipV4(), fc.ipV6()).filter((one) => /^[0-9a-f]{3}/.test(one)),
    fc.stringMatching(/^[a-zé日]{3,9}$/),
  );
  const between = fc.oneof(
    fc.constantFrom(
      "",
      " ",
      "/",
      "@",
      ":",
      ".",
      "-",
      "_",
      "\\n",
      "%3A",
      "'",
      "x",
      "9",
      "=",
      "://",
      "\n",
      "#",
      "!",
    ),
    fc.string({ maxLength: 5 }),
  );
  const given = fc.uniqueArray(name, { minLength: 1, maxLength: 5 });
  const input = given.chain((names) => {
    const spelled = fc.constantFrom(
      ...names,
      ...names.filter((one) => one.includes(".")).map((one) => one.toUpperCase()),
    );
    const string = fc
      .array(fc.tuple(between, spelled), { maxLength: 4 })
      .chain((pairs) => between.map((end) => pairs.flat().join("") + end));
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "small", maxDepth: 3 },
        string,
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(string, tie("tree"), { maxKeys: 3 }),
      ),
    }));
    return fc.record({ names: fc.constant(names), tree, paths: fc.boolean() });
  });
  const letter = "[\\p{L}\\p{N}\\p{M}]";
  fc.assert(
    fc.property(input, ({ names, tree, paths }) => {
      const hidden = names.map((one, index) => ({ text: one, placeholder: `Ω${index}Ω` }));
      const out = redactor(hidden, paths ? { paths: { keep: [] } } : {}).value(tree);
      for (const string of stringsOf(out)) {
        for (const one of names) {
          if (/[.:@]/.test(one)) {
            assert.ok(!string.toLowerCase().includes(one.toLowerCase()), JSON.stringify({ one, string }));
          } else {
            const whole = new RegExp(`(?<!${letter})${one}(?!${letter})`, "u");
            assert.doesNotMatch(string, whole, one);
          }
        }
      }
    }),
    { numRuns: 150 },
  );
});

test("a long text without anything in it takes no time", () => {
  const started = process.cpuUsage();
  for (const part of ["a", "a.", "@", "/a", "1:", "::", "1.1.", "%3A", "a@", "-"]) text(part.repeat(50_000));
  // Of the processor, which others use at the same time.
  const took = process.cpuUsage(started).user / 1000;
  assert.ok(took < 3_000, `${took} ms`);
});

function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  // What looks like a name of ours is documented to stay.
  const names = Array.isArray(value)
    ? []
    : Object.keys(value).filter((key) => !/^[a-z][A-Za-z0-9]*$/.test(key));
  return [...names, ...Object.values(value).flatMap(stringsOf)];
}
