import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delegation } from "../../src/delegation/inspect.ts";
import type { WebAnswer } from "../support/web-server.ts";
import { clientFile, HOMESERVER, json, serverFile, startWorld, type WorldOptions } from "./world.ts";

const FILE = "example.org/.well-known/matrix/server";
const ZONES = {
  "example.org": [
    "example.org 300 A 127.0.0.1",
    "matrix.example.org 300 A 127.0.0.1",
    "www.example.org 300 A 127.0.0.1",
    "away.example.org 300 A 127.0.0.9",
  ],
  "elsewhere.example": ["elsewhere.example 300 A 127.0.0.1"],
};
const GOOD = json({ "m.server": "matrix.example.org:443" }, { "cache-control": "max-age=300" });
const moved = (location: string, status = 301): WebAnswer => ({
  status,
  headers: { location, "access-control-allow-origin": "*" },
});

async function inspected(pages: WorldOptions["pages"], timeout = 2000): Promise<Delegation> {
  const rest = { ...HOMESERVER, ...clientFile("https://matrix.example.org") };
  await using world = await startWorld({ zones: ZONES, pages: { ...rest, ...pages } });
  return await world.inspect({ timeout });
}

const warnings = ({ findings }: Delegation) =>
  findings.filter(({ level }) => level === "warning" || level === "blocker").map(({ id }) => id);

const step = ({ facts }: Delegation) => facts.federation?.step;

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect of ${status} to another host is followed`, async () => {
    const found = await inspected({
      [FILE]: moved("https://elsewhere.example/file?x=1#part", status),
      "elsewhere.example/file?x=1": GOOD,
    });
    assert.equal(step(found), "3.2");
    assert.deepEqual(warnings(found), []);
    assert.deepEqual(found.facts.wellKnown.server!.redirects, [
      { status, to: "https://elsewhere.example/file?x=1", cors: true },
    ]);
    const note = found.findings.some(({ id }) => id === "well-known-redirect");
    assert.equal(note, status === 308, "servers of some age do not follow 308");
  });
}

test("a redirect to a path, and one after another, are followed", async () => {
  const found = await inspected({
    [FILE]: moved("../../first"),
    "example.org/first": moved("//www.example.org/second"),
    "www.example.org/second": GOOD,
  });
  assert.equal(step(found), "3.2");
});

test("a redirect to an address without TLS is followed, as other servers do, and warned of", async () => {
  const found = await inspected({
    [FILE]: moved("http://www.example.org/file"),
    "www.example.org/file": GOOD,
  });
  assert.equal(step(found), "3.2");
  assert.deepEqual(warnings(found), ["well-known-insecure"]);
});

const BROKEN: Readonly<Record<string, readonly [Readonly<Record<string, WebAnswer>>, RegExp]>> = {
  "redirects that go round in a circle": [
    { [FILE]: moved("/one"), "example.org/one": moved("/two"), "example.org/two": moved("/one") },
    /it redirects in a loop or too often/,
  ],
  "a redirect without a target": [{ [FILE]: { status: 302 } }, /it redirects to an invalid address/],
  "a redirect to something that is no page": [
    { [FILE]: moved("mailto:me@example.org") },
    /redirects to an invalid address/,
  ],
  "a redirect to a host that is away": [
    { [FILE]: moved("https://away.example.org/") },
    /connection was refused/,
  ],
  "a redirect to a host without address": [{ [FILE]: moved("https://none.example.org/") }, /has no address/],
  "an error of the server": [{ [FILE]: { status: 500, body: "oh" } }, /status 500/],
  "bad JSON": [{ [FILE]: { body: '{"m.server": ' } }, /no JSON object/],
  "JSON that is no object": [{ [FILE]: { body: "[]" } }, /no JSON object/],
  "an empty answer": [{ [FILE]: { body: "" } }, /no JSON object/],
  "no m.server": [{ [FILE]: json({ server: "matrix.example.org" }) }, /no usable m\.server/],
  "an m.server that is a URL": [serverFile("https://matrix.example.org"), /no usable m\.server.*https:/],
  "an m.server with an impossible port": [serverFile("matrix.example.org:99999"), /no usable m\.server/],
  "a byte order mark": [
    { [FILE]: { body: '\ufeff{"m.server": "matrix.example.org:443"}' } },
    /byte order mark/,
  ],
  "60 KiB": [
    { [FILE]: json({ "m.server": "matrix.example.org:443", more: "x".repeat(60 * 1024) }) },
    /more than 51200/,
  ],
};

for (const [title, [pages, problem]] of Object.entries(BROKEN)) {
  test(`a well-known file that cannot be used leads on to the next step: ${title}`, async () => {
    const found = await inspected(pages);
    assert.equal(step(found), "6");
    assert.deepEqual(warnings(found), ["well-known-invalid:server"]);
    assert.match(found.facts.wellKnown.server!.problem!, problem);
  });
}

test("a circle of redirects is left at its first turn", async () => {
  await using world = await startWorld({
    zones: ZONES,
    pages: { ...HOMESERVER, [FILE]: moved("/one"), "example.org/one": moved("/one") },
  });
  const { facts } = await world.inspect();
  assert.equal(facts.wellKnown.server!.redirects.length, 2);
});

test("a file is fetched from the next address when the first does not answer", async () => {
  const zones = {
    "example.org": [
      "example.org 300 A 127.0.0.9",
      "example.org 300 A 127.0.0.1",
      "matrix.example.org 300 A 127.0.0.1",
    ],
  };
  await using world = await startWorld({ zones, pages: { ...HOMESERVER, [FILE]: GOOD } });
  const found = await world.inspect();
  assert.equal(step(found), "3.2");
  assert.deepEqual(found.facts.wellKnown.server!.addresses, ["127.0.0.9", "127.0.0.1"]);
});

test("a file of 50 KiB is read", async () => {
  const text = (more: string) => JSON.stringify({ "m.server": "matrix.example.org:443", more });
  const body = text("x".repeat(50 * 1024 - text("").length));
  assert.equal(body.length, 50 * 1024);
  assert.equal(step(await inspected({ [FILE]: { body } })), "3.2");
});

test("that there is no file is no fault", async () => {
  for (const status of [404, 410, 403]) {
    const found = await inspected({ [FILE]: { status } });
    assert.deepEqual([step(found), warnings(found)], ["6", []]);
    assert.equal(found.facts.wellKnown.server!.state, "absent");
  }
});

test("a server that is too slow is not waited for", async () => {
  const start = performance.now();
  const found = await inspected({ [FILE]: "hang" }, 1_000);
  assert.ok(performance.now() - start < 60_000);
  assert.equal(found.facts.wellKnown.server!.state, "unreachable");
  // It is found and answers all the same, at port 8448.
  assert.deepEqual([step(found), warnings(found)], ["6", []]);
});

test("a file that nobody serves is a warning when the server is not found otherwise", async () => {
  const zones = { "example.org": ["example.org 300 A 127.0.0.9"] };
  await using world = await startWorld({ zones, pages: HOMESERVER });
  const found = await world.inspect();
  assert.deepEqual(warnings(found), ["federation-unreachable", "well-known-unreachable:server"]);
});

test("a client file that cannot be used sends nobody anywhere", async () => {
  const file = "example.org/.well-known/matrix/client";
  for (const page of [
    { status: 500 },
    { body: "{}" },
    json({ "m.homeserver": { base_url: "matrix.example.org" } }),
  ]) {
    const found = await inspected({ [FILE]: GOOD, [file]: page });
    assert.deepEqual(warnings(found), ["well-known-invalid:client"]);
    assert.equal(found.facts.client, undefined);
  }
});

test("a redirect of the client file must carry the headers for browsers as well", async () => {
  const found = await inspected({
    [FILE]: GOOD,
    "example.org/.well-known/matrix/client": {
      status: 301,
      headers: { location: "https://www.example.org/c" },
    },
    "www.example.org/c": json({ "m.homeserver": { base_url: "https://matrix.example.org" } }),
  });
  assert.deepEqual(warnings(found), ["well-known-cors"]);
});
