import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import type { CheckOrder } from "../../../src/delegation/check/collect.ts";
import { type Expected, NOTHING_EXPECTED } from "../../../src/delegation/check/expected.ts";
import type { CheckResult } from "../../../src/delegation/check/result.ts";
import { checkDelegation, type Watch } from "../../../src/delegation/check/run.ts";
import { tapText } from "../../../src/delegation/check/tap.ts";
import { inspectDelegation } from "../../../src/delegation/inspect.ts";
import { realDns } from "../../../src/system/dns/dns.ts";
import { NoAnswer } from "../../../src/system/http/no-answer.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { startDnsServer } from "../../support/dns-server.ts";
import { startWeb, type WebAnswer } from "../../support/web-server.ts";
import { authority, json, NOW, startWorld, type TestWorld, type WorldOptions } from "../world.ts";
import { signingKey } from "./signed.ts";

const DAY = 86_400_000;
const KEY = signingKey(1);
const OTHER_KEY = signingKey(2);

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
  "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization, Date",
};
const CLIENT_FILE = { "m.homeserver": { base_url: "https://matrix.example.org/" } };

/** What a homeserver with this key answers, and the two files. */
const pagesWith = (key = KEY, validUntil = NOW + DAY): Record<string, WebAnswer> => ({
  "/_matrix/key/v2/server": json(key.publish("example.org", validUntil)),
  "/_matrix/federation/v1/version": json({ server: { name: "Synapse", version: "1.163.2" } }),
  "/_matrix/client/versions": json({ versions: ["v1.11", "v1.12"] }),
  "OPTIONS /_matrix/client/v3/account/whoami": { status: 204, headers: CORS },
  "example.org/.well-known/matrix/server": json({ "m.server": "matrix.example.org:443" }),
  "example.org/.well-known/matrix/client": json(CLIENT_FILE),
});

const ZONE = ["example.org 300 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.1"];
const worldOf = (pages: Record<string, WebAnswer> = {}, more: Partial<WorldOptions> = {}): WorldOptions => ({
  zones: { "example.org": ZONE },
  pages: { ...pagesWith(), ...pages },
  ...more,
});

const EXPECTED: Expected = {
  ...NOTHING_EXPECTED,
  clientUrl: "https://matrix.example.org",
  federation: "matrix.example.org:443",
  keys: [KEY],
};

async function check(
  { sources }: Pick<TestWorld, "sources">,
  expected: Partial<Expected> = {},
  order: Partial<CheckOrder> = {},
  watch?: { limit: Watch; wait: () => Promise<void>; notes?: string[] },
) {
  let elapsed = 0;
  const machine = {
    now: () => NOW + elapsed,
    elapsed: () => elapsed,
    wait: async (milliseconds: number) => {
      elapsed += milliseconds;
      await watch?.wait();
    },
  };
  return await checkDelegation(
    {
      serverName: "example.org",
      expected: { ...EXPECTED, ...expected },
      at: [],
      resolvers: [],
      notaries: [],
      login: undefined,
      privateHosts: [],
      timeout: 2000,
      timeLimit: 60_000,
      ...order,
    },
    { ...sources, machine },
    { ...noProgress, note: (sentence) => void watch?.notes?.push(sentence) },
    watch?.limit,
  );
}

async function checked(
  options: WorldOptions,
  expected: Partial<Expected> = {},
  order: Partial<CheckOrder> = {},
): Promise<readonly CheckResult[]> {
  await using world = await startWorld(options);
  return (await check(world, expected, order)).results;
}

const bad = (results: readonly CheckResult[]) =>
  results.filter(({ level }) => level === "warning" || level === "blocker");
const failing = (results: readonly CheckResult[]) => [...new Set(bad(results).map((one) => one.check))];
const said = (results: readonly CheckResult[], id: string) =>
  bad(results)
    .filter((one) => one.check === id)
    .map((one) => `${one.subject}: ${one.said}`);

test("a server that is as expected passes every check, each told with its address", async () => {
  await using world = await startWorld(worldOf());
  const { results, findings } = await check(world, { files: { "matrix/client": CLIENT_FILE } });
  assert.deepEqual(bad(results), []);
  assert.deepEqual(
    findings.map(({ id, level }) => `${level} ${id}`),
    [
      "ok delegation-dns",
      "ok delegation-old-address",
      "ok delegation-discovery",
      "ok delegation-federation",
      "ok delegation-client",
      "ok delegation-certificate",
      "ok delegation-signing-key",
      "ok delegation-signature",
      "ok delegation-version",
      "ok delegation-well-known-client",
      "ok delegation-well-known-server",
      "ok delegation-cors",
    ],
  );
  assert.deepEqual(findings.find(({ id }) => id === "delegation-signing-key")!.evidence, [
    `matrix.example.org, 127.0.0.1 port 443: ed25519:a_test ${KEY.publicKey}`,
  ]);
  const name = findings.find(({ id }) => id === "delegation-discovery")!.evidence!;
  assert.deepEqual(
    name.map((line) => line.split(":")[0]),
    ["the zones' own name servers", "the resolvers of this host"],
  );
});

test("an address that does not answer fails although another one does", async () => {
  for (const record of ["matrix.example.org 300 AAAA ::1", "matrix.example.org 300 A 127.0.0.9"]) {
    const results = await checked(worldOf({}, { zones: { "example.org": [...ZONE, record] } }));
    assert.deepEqual(failing(results), ["federation", "client"], record);
    const address = record.split(" ").at(-1)!;
    assert.deepEqual(said(results, "federation"), [
      `matrix.example.org, ${address} port 443: the connection was refused`,
    ]);
  }
});

test("another server at one of the addresses is found: key, signature and files are compared at each", async () => {
  await using world = await startWorld(
    worldOf({}, { zones: { "example.org": [...ZONE, ...ZONE.map((line) => line.replace(/1$/, "2"))] } }),
  );
  const other: Record<string, WebAnswer> = {
    ...pagesWith(OTHER_KEY),
    "example.org/.well-known/matrix/client": json({
      "m.homeserver": { base_url: "https://old.example.org" },
    }),
  };
  const all = authority.sign(["example.org", "*.example.org"]);
  await using old = await startWeb({
    address: "127.0.0.2",
    port: world.https.port,
    certificates: { "": all },
    answer: (host, path, method) =>
      other[`${method === "OPTIONS" ? "OPTIONS " : ""}${host}${path}`] ??
      other[`${method === "OPTIONS" ? "OPTIONS " : ""}${path}`],
  });
  assert.ok(old.port > 0);
  const { results } = await check(world);
  assert.deepEqual(failing(results), ["signing-key", "same-answers", "well-known-client"]);
  assert.deepEqual(said(results, "signing-key"), [
    `matrix.example.org, 127.0.0.2 port 443: ed25519:a_test ${OTHER_KEY.publicKey}; expected ed25519:a_test ${KEY.publicKey}`,
  ]);
  assert.match(said(results, "same-answers")[0]!, /^signing keys: /);
  assert.deepEqual(said(results, "well-known-client"), [
    "https://example.org/.well-known/matrix/client at 127.0.0.2: https://old.example.org, and not https://matrix.example.org",
  ]);
});

test("keys that are not signed by themselves, expired or of another name are no proof", async () => {
  const published = (validUntil: number, tamper: object) => ({
    "/_matrix/key/v2/server": json(KEY.publish("example.org", validUntil, tamper)),
  });
  for (const [pages, why] of [
    [published(NOW + DAY, { valid_until_ts: NOW + 2 * DAY }), /the signature with ed25519:a_test is wrong/],
    [published(NOW + DAY, { signatures: {} }), /the signature with ed25519:a_test is wrong or missing/],
    [published(NOW + DAY, { extra: 1.5 }), /wrong or missing/],
    [published(NOW - 1, {}), /they were valid until 2026-11-25 11:59:59 UTC/],
    [
      { "/_matrix/key/v2/server": json(KEY.publish("other.example", NOW + DAY)) },
      /the keys of other\.example/,
    ],
  ] as const) {
    const results = await checked(worldOf(pages));
    assert.deepEqual(failing(results), ["signature"]);
    assert.match(said(results, "signature")[0]!, why);
  }
});

test("a certificate must be trusted, for the right name, and not about to expire", async () => {
  for (const [certificate, level, why] of [
    [authority.sign(["example.org", "*.example.org"], -1), "blocker", /the certificate has expired/],
    [authority.sign(["example.org"]), "blocker", /it is not for matrix\.example\.org; for example\.org/],
    [authority.sign(["example.org", "*.example.org"], 5), "warning", /it expires soon/],
  ] as const) {
    const results = await checked(worldOf({}, { certificates: { "matrix.example.org": certificate } }));
    const own = results.filter(({ check: id, level: is }) => id === "certificate" && is !== "ok");
    assert.ok(own.length > 0);
    for (const one of own) {
      // Real certificates expire by the real clock, which the world's clock is behind.
      if (level !== "warning") assert.equal(one.level, level);
      assert.match(`${one.subject}: ${one.said}`, level === "warning" ? /certificate|until/ : why);
    }
  }
});

test("a browser is asked for in the way that browsers ask, and each fault of it has its name", async () => {
  const preflight = (status: number, headers: Record<string, string>): Record<string, WebAnswer> => ({
    "OPTIONS /_matrix/client/v3/account/whoami": { status, headers },
  });
  for (const [pages, why] of [
    [preflight(401, CORS), /the answer to OPTIONS has the status 401/],
    [preflight(204, {}), /in the answer to OPTIONS Access-Control-Allow-Origin is missing/],
    [preflight(204, { ...CORS, "access-control-allow-origin": "*, *" }), /there more than once: \*, \*/],
    [
      preflight(204, { ...CORS, "access-control-allow-origin": "https://one.example" }),
      /only https:\/\/one\.example/,
    ],
    [preflight(204, { ...CORS, "access-control-allow-methods": "GET, POST, OPTIONS" }), /lacks PUT, DELETE/],
    [preflight(204, { ...CORS, "access-control-allow-headers": "*" }), /lacks authorization/],
    [
      { "/_matrix/client/versions": { body: JSON.stringify({ versions: ["v1.1"] }) } },
      /Access-Control-Allow-Origin is missing/,
    ],
  ] as const) {
    const results = await checked(worldOf(pages));
    assert.deepEqual(failing(results), ["cors"], String(why));
    assert.match(said(results, "cors")[0]!, why);
  }
  const file = await checked(
    worldOf({
      "example.org/.well-known/matrix/client": { body: JSON.stringify(CLIENT_FILE) },
    }),
  );
  assert.match(
    said(file, "cors")[0]!,
    /^https:\/\/example\.org\/\.well-known\/matrix\/client at 127\.0\.0\.1: /,
  );
});

test("every expected well-known file is compared as a whole, and one that is lost is told", async () => {
  const full = {
    ...CLIENT_FILE,
    "org.matrix.msc4143.rtc_foci": [{ type: "livekit", livekit_service_url: "https://rtc.example.org" }],
    "io.element.e2ee": { default: true },
  };
  const files = {
    "matrix/client": full,
    "matrix/support": { support_page: "https://example.org/help" },
    "element/element.json": { call: 1 },
  };
  const pages = {
    "example.org/.well-known/matrix/client": json(full),
    "example.org/.well-known/matrix/support": json(files["matrix/support"]),
    "example.org/.well-known/element/element.json": json(files["element/element.json"]),
  };
  assert.deepEqual(bad(await checked(worldOf(pages), { files })), []);
  const lost = await checked(
    worldOf({ ...pages, "example.org/.well-known/matrix/client": json(CLIENT_FILE) }),
    { files },
  );
  assert.match(
    said(lost, "well-known-client")[0]!,
    /it differs in org\.matrix\.msc4143\.rtc_foci, io\.element\.e2ee$/,
  );
  const { "example.org/.well-known/matrix/support": _, ...fewer } = pages;
  assert.match(
    said(await checked(worldOf(fewer), { files }), "well-known-others")[0]!,
    /support at 127.* status 404$/,
  );
});

test("files that cannot be used are faults: too large, no object, a redirect in a circle or to another scheme", async () => {
  const path = "example.org/.well-known/matrix/client";
  const redirect = (location: string): WebAnswer => ({ status: 302, headers: { location } });
  for (const [page, why] of [
    [{ body: `{"x": "${"x".repeat(51 * 1024)}"}` }, /more than 51200 bytes/],
    [json([1, 2]), /no JSON object/],
    [{ body: "{" }, /no JSON object/],
    [redirect("https://example.org/.well-known/matrix/client"), /redirects in a loop/],
    [redirect("ftp://example.org/client"), /redirects to an invalid address/],
    ["break", /./],
  ] as const) {
    const results = await checked(worldOf({ [path]: page }));
    assert.ok(failing(results).includes("well-known-client"), String(why));
    assert.match(said(results, "well-known-client")[0]!, why);
  }
});

test("a file of 50 MB is cut at its limit, which is said, and is not read to its end", async () => {
  const whole = Buffer.alloc(50_000_000, "x");
  for (const headers of [{ "content-length": "50000000" }, { "transfer-encoding": "chunked" }]) {
    await using world = await startWorld(
      worldOf({
        "example.org/.well-known/matrix/client": { headers, body: whole },
        "example.org/.well-known/matrix/server": { headers, body: whole },
      }),
    );
    const { results } = await check(world, { clientUrl: undefined, federation: undefined });
    for (const id of ["well-known-client", "well-known-server"])
      assert.match(said(results, id)[0]!, /more than 51200 bytes/);
    // What lies in the buffers of both sides is sent anyway.
    assert.ok(world.https.mostSent() < 25_000_000, `${world.https.mostSent()} bytes were sent`);
  }
});

test("a server that is reached by IPv6 alone passes, and where this host has no IPv6 that is no fault of it", async () => {
  const zone = ["example.org 300 AAAA ::1", "matrix.example.org 300 AAAA ::1"];
  const options = worldOf({}, { zones: { "example.org": zone } });
  await using world = await startWorld(options);
  await using six = await startWeb({
    address: "::1",
    port: world.https.port,
    certificates: { "": authority.sign(["example.org", "*.example.org"]) },
    answer: (host, path, method) => {
      const prefix = method === "OPTIONS" ? "OPTIONS " : "";
      return options.pages![`${prefix}${host}${path}`] ?? options.pages![`${prefix}${path}`];
    },
  });
  const { results } = await check(world, { addresses: ["::1"] });
  assert.deepEqual(bad(results), []);
  assert.ok(results.some(({ subject }) => subject === "matrix.example.org, ::1 port 443"));
  assert.ok(six.asked.length > 0);
  assert.deepEqual(world.https.asked, [], "nothing was asked by IPv4");

  const unreachable = { ...world.sources.http };
  const noRoute = () => Promise.reject(new NoAnswer("no-route", "this host has no route to that network"));
  const sources = {
    ...world.sources,
    http: { ...unreachable, get: noRoute, request: noRoute, certificate: noRoute },
  };
  const without = (await check({ sources }, { addresses: ["::1"] })).results;
  for (const id of ["federation", "client"] as const)
    assert.deepEqual(
      without.filter(({ check: one }) => one === id).map(({ level }) => level),
      ["note"],
    );
});

test("before DNS is changed, the new host is asked directly, as if every name led there", async () => {
  const zones = { "example.org": ZONE.map((line) => line.replace("127.0.0.1", "127.0.0.8")) };
  const at = [{ host: undefined, address: "127.0.0.1" }];
  assert.deepEqual(bad(await checked(worldOf({}, { zones }), {}, { at })), []);
  const byName = await checked(worldOf({}, { zones }));
  assert.ok(failing(byName).includes("federation"), "nothing answers at the old address");
});

test("well-known files that stay where they are, are not asked for at the new host", async () => {
  // The website keeps its address, where the file still has the old value; only the homeserver moves.
  const zones = { "example.org": ["example.org 300 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.8"] };
  const pages = { "example.org/.well-known/matrix/server": json({ "m.server": "old.example.org:443" }) };
  const results = await checked(
    worldOf(pages, { zones }),
    {},
    { at: [{ host: undefined, address: "127.0.0.1" }] },
  );
  assert.deepEqual(bad(results), []);
  assert.equal(results.find(({ check: id }) => id === "discovery")!.level, "note");
  const named = await checked(
    worldOf(pages, { zones }),
    {},
    {
      at: ["example.org", "matrix.example.org"].map((host) => ({ host, address: "127.0.0.1" })),
    },
  );
  assert.deepEqual(failing(named), ["discovery", "well-known-server"]);
});

test("a resolver that still has the old address is named, with the time until which it keeps it", async () => {
  await using world = await startWorld(worldOf());
  await using stale = await startDnsServer({
    zones: { "example.org": ["example.org 300 A 127.0.0.1", "matrix.example.org 3600 A 127.0.0.7"] },
    age: 600,
  });
  const { results } = await check(
    world,
    { addresses: ["127.0.0.1"] },
    { resolvers: [world.dns, { address: stale.address, port: stale.port }] },
  );
  assert.deepEqual(said(results, "old-address"), [
    `resolver 127.0.0.1:${stale.port}: matrix.example.org A is 127.0.0.7, from its cache until 2026-11-25 12:50:00 UTC`,
  ]);
});

test("a record that was forgotten is found even though it answers", async () => {
  const results = await checked(
    worldOf({}, { zones: { "example.org": [...ZONE, "matrix.example.org 300 AAAA ::1"] } }),
    { addresses: ["127.0.0.1"] },
  );
  assert.match(
    said(results, "old-address")[0]!,
    /the zones' own name servers: matrix\.example\.org AAAA is ::1$/,
  );
});

test("faults of DNS are told, with who meets them", async () => {
  for (const [mischief, why] of [
    ["servfail", /return an error/],
    ["silent", /no name server responds/],
    ["garbage", /malformed/],
    ["refused", /refuse/],
  ] as const) {
    const results = await checked(worldOf({}, { mischief: { "A matrix.example.org": mischief } }));
    assert.match(said(results, "dns")[0]!, why);
  }
  const looped = [
    "example.org 300 A 127.0.0.1",
    "matrix.example.org 300 CNAME b.example.org",
    "b.example.org 300 CNAME matrix.example.org",
  ];
  const results = await checked(worldOf({}, { zones: { "example.org": looped } }));
  assert.match(said(results, "dns")[0]!, /the CNAME records form a loop/);
  const cut = await checked(worldOf({}, { mischief: { all: "truncate" } }));
  assert.deepEqual(bad(cut), [], "an answer that does not fit into UDP is asked for over TCP");
});

test("an SRV record that closes the service is a fault, and so is a name without an address", async () => {
  const zone = ["example.org 300 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.1"];
  const pages = { "example.org/.well-known/matrix/server": { status: 404 } };
  const closed = await checked(
    worldOf(pages, { zones: { "example.org": [...zone, "_matrix-fed._tcp.example.org 300 SRV 0 0 0 ."] } }),
  );
  assert.match(said(closed, "discovery")[0]!, /the service is not offered/);
  const none = await checked(worldOf({}, { zones: { "example.org": ["example.org 300 A 127.0.0.1"] } }));
  assert.deepEqual(said(none, "client"), ["https://matrix.example.org: there is no address to ask"]);
});

test("a private address that only the server names is not asked, unless that was allowed", async () => {
  const pages = {
    "example.org/.well-known/matrix/server": json({ "m.server": "inside.example.org:443" }),
    "example.org/.well-known/matrix/client": json({
      "m.homeserver": { base_url: "https://inside.example.org" },
    }),
  };
  const zones = { "example.org": ["example.org 300 A 127.0.0.1", "inside.example.org 300 A 127.0.0.1"] };
  const nothing = { clientUrl: undefined, federation: undefined };
  await using world = await startWorld(worldOf(pages, { zones }));
  const { results } = await check(world, nothing);
  assert.ok(failing(results).includes("private"));
  assert.match(said(results, "private")[0]!, /inside\.example\.org is 127\.0\.0\.1: --allow-private/);
  assert.deepEqual(
    [...world.https.asked, ...world.federation.asked].filter((line) => line.includes("inside")),
    [],
  );
  const allowed = await check(world, nothing, { privateHosts: ["inside.example.org"] });
  assert.deepEqual(bad(allowed.results), []);
});

test("neither a redirect nor an SRV record leads to a private address that nobody named", async () => {
  const to = { status: 302, headers: { location: "https://inside.example.org/.well-known/matrix/client" } };
  const pages = {
    "example.org/.well-known/matrix/server": { status: 404 },
    "example.org/.well-known/matrix/client": to,
    "inside.example.org/.well-known/matrix/client": json(CLIENT_FILE),
  };
  const zone = [
    "example.org 300 A 127.0.0.1",
    "inside.example.org 300 A 127.0.0.1",
    "_matrix-fed._tcp.example.org 300 SRV 0 0 8448 inside.example.org",
  ];
  const nothing = { clientUrl: undefined, federation: undefined };
  await using world = await startWorld(worldOf(pages, { zones: { "example.org": zone } }));
  const { results } = await check(world, nothing);
  assert.match(
    said(results, "well-known-client")[0]!,
    /a private address, which is not followed: 127\.0\.0\.1/,
  );
  assert.match(said(results, "private")[0]!, /inside\.example\.org is 127\.0\.0\.1: --allow-private/);
  const inside = () =>
    [...world.https.asked, ...world.federation.asked].filter((line) => line.includes("inside"));
  assert.deepEqual(inside(), []);
  await check(world, nothing, { privateHosts: ["inside.example.org"] });
  assert.ok(inside().length > 1);
});

test("what a login answers is compared, the password is nowhere, and the login is ended", async () => {
  const login = { user: "@alice:example.org", password: "hunter2-very-secret" };
  const answer = (url: string) => ({
    "/_matrix/client/v3/login": json({
      access_token: "syt_secret",
      well_known: { "m.homeserver": { base_url: url } },
    }),
    "/_matrix/client/v3/logout": json({}),
  });
  await using world = await startWorld(worldOf(answer("https://matrix.example.org/")));
  const { results } = await check(world, {}, { login });
  assert.deepEqual(bad(results), []);
  assert.ok(world.https.asked.some((line) => line.endsWith("/_matrix/client/v3/logout")));
  const old = await checked(worldOf(answer("https://old.example.org")), {}, { login });
  assert.deepEqual(said(old, "login"), ["@alice:example.org: https://old.example.org"]);
  const refused = await checked(
    worldOf({ "/_matrix/client/v3/login": { status: 403, body: '{"errcode":"M_FORBIDDEN"}' } }),
    {},
    { login },
  );
  assert.match(said(refused, "login")[0]!, /the login was refused \(status 403, M_FORBIDDEN\)/);
  for (const all of [results, old, refused]) assert.doesNotMatch(JSON.stringify(all), /hunter2|syt_secret/);
});

test("another server is asked which keys it knows", async () => {
  const known = (key: typeof KEY) => ({
    "/_matrix/key/v2/query/example.org": json({
      server_keys: [key.publish("example.org", NOW + DAY), OTHER_KEY.publish("third.example", NOW + 2 * DAY)],
    }),
  });
  const zones = { "example.org": ZONE, "elsewhere.example": ["elsewhere.example 300 A 127.0.0.1"] };
  const order = { notaries: ["elsewhere.example"] };
  assert.deepEqual(bad(await checked(worldOf(known(KEY), { zones }), {}, order)), []);
  const old = await checked(worldOf(known(OTHER_KEY), { zones }), {}, order);
  assert.match(said(old, "notary")[0]!, new RegExp(`^elsewhere\\.example: .*expected ed25519:a_test`));
  assert.match(
    said(await checked(worldOf({}, { zones }), {}, order), "notary")[0]!,
    /does not know the keys/,
  );
});

test("a watch ends as soon as everything is as expected, and tells what is still missing", async () => {
  await using world = await startWorld(worldOf());
  const stale = await startDnsServer({
    zones: { "example.org": [ZONE[0]!, "matrix.example.org 60 A 127.0.0.7"] },
  });
  try {
    let waits = 0;
    const notes: string[] = [];
    const resolvers = [world.dns, { address: stale.address, port: stale.port }];
    const wait = async () => {
      waits++;
      // Its cache has ended: now it refuses, and after that it has the new answer.
      if (waits === 2) resolvers.pop();
      await Promise.resolve();
    };
    const { results } = await check(
      world,
      { addresses: ["127.0.0.1"] },
      { resolvers },
      { limit: { limit: 600_000, every: 30_000 }, wait, notes },
    );
    assert.deepEqual(bad(results), []);
    assert.equal(waits, 2);
    assert.equal(notes.length, 2, "the same state is told once");
    assert.match(
      notes[1]!,
      /not yet as expected: old-address, federation, client \(resolver .*127\.0\.0\.7.*asking again every 30 s/,
    );
    const over = await check(
      world,
      { addresses: ["127.0.0.2"] },
      {},
      { limit: { limit: 60_000, every: 30_000 }, wait: () => Promise.resolve() },
    );
    assert.ok(failing(over.results).includes("old-address"), "the time is over");
  } finally {
    await stale[Symbol.asyncDispose]();
  }
});

test("while it is watched, what is left of a cache is told once, and again when the old answer comes back into it", async () => {
  await using world = await startWorld(worldOf());
  const zones = { "example.org": [ZONE[0]!, "matrix.example.org 3600 A 127.0.0.7"] };
  let stale = await startDnsServer({ zones, age: 600 });
  const { port } = stale;
  const aged = async (age: number) => {
    await stale[Symbol.asyncDispose]();
    stale = await startDnsServer({ zones, age, port });
  };
  try {
    let waits = 0;
    const notes: string[] = [];
    const wait = async () => {
      waits++;
      // The cache counts its seconds, once not evenly; then it fetches the old answer again.
      await aged(waits === 1 ? 630 : waits === 2 ? 662 : 0);
    };
    const { results } = await check(
      world,
      { addresses: ["127.0.0.1"] },
      { resolvers: [{ address: stale.address, port }] },
      { limit: { limit: 90_000, every: 30_000 }, wait, notes },
    );
    const told = notes.filter((note) => note.includes("127.0.0.7"));
    assert.equal(told.length, 1, told.join("\n"));
    assert.match(
      told[0]!,
      /matrix\.example\.org A is 127\.0\.0\.7, from its cache until 2026-11-25 12:50:00 UTC/,
    );
    const until = results.find((one) => one.check === "old-address" && one.until !== undefined)?.until;
    assert.equal(until, NOW + 90_000 + 3_600_000);
  } finally {
    await stale[Symbol.asyncDispose]();
  }
});

test("a name that is not valid is a finding, with its form in ASCII", async () => {
  await using world = await startWorld(worldOf());
  for (const [serverName, hint] of [
    ["münchen.example", /xn--mnchen-3ya\.example/],
    ["example.org:99999", /check server_name/],
    ["", /check server_name/],
    ["https://example.org/", /write it as user ids end: example\.org$/],
    ["example.org.", /: example\.org$/],
    [" example.org:8448 ", /: example\.org:8448$/],
    ["2001:db8::7", /: \[2001:db8::7\]$/],
    ["0x7f.1", /check server_name/],
    ["https://", /check server_name/],
  ] as const) {
    const { results, findings } = await check(world, {}, { serverName });
    assert.deepEqual([results, findings.length, findings[0]!.level], [[], 1, "blocker"]);
    assert.match(findings[0]!.hint!, hint);
  }
});

test("server names that are addresses or have a port need no file for servers", async () => {
  const pages = (serverName: string) => ({
    "/_matrix/key/v2/server": json(KEY.publish(serverName, NOW + DAY)),
    "127.0.0.1/.well-known/matrix/client": json(CLIENT_FILE),
  });
  for (const serverName of ["127.0.0.1", "127.0.0.1:8448", "example.org:8448"]) {
    const results = await checked(worldOf(pages(serverName)), { federation: undefined }, { serverName });
    assert.deepEqual(bad(results), [], serverName);
  }
});

test("nothing hangs longer than its limit", async () => {
  await using world = await startWorld(
    worldOf({
      "/_matrix/key/v2/server": "hang",
      "/_matrix/client/versions": "hang",
      "example.org/.well-known/matrix/client": "hang",
    }),
  );
  const { results } = await check(world, {}, { timeout: 1000 });
  // On a slow machine others may take that long, too.
  for (const id of ["federation", "client", "well-known-client"])
    assert.ok(failing(results).includes(id as "client"));
  assert.match(said(results, "federation")[0]!, /no complete response within 1 s/);
});

test(
  "addresses and name servers that swallow everything end with the limit for all, and the check says so",
  {
    // Without that limit it would take hours.
    timeout: 300_000,
  },
  async () => {
    // They accept a connection, and then nothing more comes.
    const addresses = [1, 2, 3, 4, 5, 6, 7, 8].map((last) => `127.0.1.${last}`);
    const zone = addresses.flatMap((one) => [`example.org 300 A ${one}`, `matrix.example.org 300 A ${one}`]);
    await using world = await startWorld(worldOf({}, { zones: { "example.org": zone } }));
    const holes = await Promise.all(addresses.map((one) => swallowing(one, world.https.port)));
    const timeout = 3_600_000;
    try {
      const order = { timeout, timeLimit: 3000, notaries: ["example.org"] };
      const { results, findings } = await check(world, {}, order);
      assert.ok(failing(results).includes("time-limit"));
      const found = findings.find(({ id }) => id === "delegation-time-limit");
      assert.deepEqual([found?.level, found?.evidence], ["warning", ["example.org: the limit is 3 s"]]);
      assert.match(said(results, "well-known-client")[0]!, /the time limit of 3 s was over/);

      const tries = holes.reduce((sum, hole) => sum + hole.connections(), 0);
      await inspectDelegation({ serverName: "example.org", timeout: 1000 }, world.sources, noProgress);
      const more = holes.reduce((sum, hole) => sum + hole.connections(), 0) - tries;
      // Six files, each from at most four addresses one after another; and one round of all eight for other servers.
      assert.ok(more <= 6 * 4 + 2 * 8, `${more} connections`);

      const silent = realDns({ resolvers: [world.dns], port: world.dns.port, timeout, tries: 1 });
      world.dns.mischief["all"] = "silent";
      const sources = { ...world.sources, dns: silent };
      const quiet = await check({ sources }, {}, { timeout, timeLimit: 1000 });
      assert.ok(failing(quiet.results).includes("time-limit"));
      assert.match(said(quiet.results, "dns")[0]!, /no name server responds/);
      const looked = await inspectDelegation(
        { serverName: "example.org", timeout, timeLimit: 1000 },
        sources,
        noProgress,
      );
      assert.ok(looked.findings.some(({ id }) => id === "delegation-time-limit"));
    } finally {
      for (const hole of holes) hole.close();
    }
  },
);

/** A server that accepts connections and says nothing. */
async function swallowing(address: string, port: number): Promise<{ connections(): number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject).listen(port, address, resolve);
  });
  return {
    connections: () => sockets.size,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("TAP has a line for each check at each address, and says why one failed", async () => {
  const results = await checked(
    worldOf({}, { zones: { "example.org": [...ZONE, "matrix.example.org 300 AAAA ::1"] } }),
    { keys: [] },
  );
  const lines = tapText(results).trimEnd().split("\n");
  assert.equal(lines[0], "TAP version 14");
  assert.equal(lines[1], `1..${results.length}`);
  const tests = lines.filter((line) => /^(not )?ok \d+ - /.test(line));
  assert.equal(tests.length, results.length);
  assert.ok(tests.some((line) => /^not ok \d+ - federation: matrix\.example\.org, ::1 port 443$/.test(line)));
  assert.ok(tests.some((line) => /^ok \d+ - signing-key: .* # SKIP ed25519:a_test /.test(line)));
  assert.match(
    lines.join("\n"),
    /\n  ---\n  severity: blocker\n  message: "the connection was refused"\n  hint: "/,
  );
});
