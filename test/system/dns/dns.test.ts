import assert from "node:assert/strict";
import { test } from "node:test";
import type { DnsAnswer } from "../../../src/system/dns/answer.ts";
import { parseDnsServer, realDns } from "../../../src/system/dns/dns.ts";
import { valueText } from "../../../src/system/dns/message.ts";
import { type DnsServerOptions, startDnsServer } from "../../support/dns-server.ts";

const ZONES = {
  "example.org": [
    "example.org 300 A 192.0.2.1",
    "example.org 300 A 192.0.2.2",
    "example.org 600 AAAA 2001:db8::1",
    'example.org 3600 CAA 0 issue "ca.example; accounturi=https://ca.example/acct/1"'.replaceAll('"', ""),
    "example.org 1800 UNKNOWN_65 00010000040008c0000201c00002020006001020010db8000000000000000000000001",
    "_matrix-fed._tcp.example.org 900 SRV 10 5 8448 matrix.example.org",
    "matrix.example.org 7200 CNAME edge.provider.example",
    "round.example.org 60 CNAME about.example.org",
    "about.example.org 60 CNAME round.example.org",
  ],
  "provider.example": [
    "provider.example 1800 SOA ns.provider.example 120",
    "edge.provider.example 60 CNAME pop7.provider.example",
    "pop7.provider.example 30 A 192.0.2.7",
  ],
};

/** A resolver and the zones' own servers behind one port, and an eager client of it. */
async function asked(options: Partial<DnsServerOptions> = {}, { wait = 300, tries = 2 } = {}) {
  const server = await startDnsServer({ zones: ZONES, age: 25, ...options });
  const resolver = { address: server.address, port: server.port };
  const dns = realDns({ resolvers: [resolver], port: server.port, timeout: wait, tries });
  return { server, dns, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const lines = ({ chain, records }: DnsAnswer) =>
  [...chain, ...records].map((record) => `${record.name} ${record.ttl} ${record.type} ${valueText(record)}`);

test("a time to live is the zone's own, and not what is left of it at a resolver", async () => {
  await using world = await asked();
  const own = await world.dns.lookUp("example.org", "A");
  assert.deepEqual(lines(own), ["example.org 300 A 192.0.2.1", "example.org 300 A 192.0.2.2"]);
  assert.equal(own.records[0]!.authoritative, true);
  assert.equal(own.records[0]!.from, `ns.example.org (127.0.0.1:${world.server.port})`);

  const counted = await world.dns.ask("example.org", "A");
  assert.equal(counted.records[0]!.ttl, 275);
  assert.equal(counted.records[0]!.authoritative, false);
});

test("every type is read, with what it says", async () => {
  await using world = await asked();
  const values = async (name: string, type: Parameters<typeof world.dns.lookUp>[1]) =>
    (await world.dns.lookUp(name, type)).records.map((record) => valueText(record));
  assert.deepEqual(await values("example.org", "AAAA"), ["2001:db8::1"]);
  assert.deepEqual(await values("example.org", "CAA"), [
    '0 issue "ca.example; accounturi=https://ca.example/acct/1"',
  ]);
  assert.deepEqual(await values("_matrix-fed._tcp.example.org", "SRV"), ["10 5 8448 matrix.example.org"]);
  assert.deepEqual(await values("example.org", "NS"), ["ns.example.org"]);
  assert.deepEqual(await values("example.org", "SOA"), ["ns.example.org 1 (minimum 600)"]);
  assert.deepEqual(await values("matrix.example.org", "CNAME"), ["edge.provider.example"]);
  assert.deepEqual(await values("example.org", "HTTPS"), ["1 . 192.0.2.1 192.0.2.2 2001:db8::1"]);
});

test("aliases are followed from zone to zone, each with its own time to live", async () => {
  await using world = await asked();
  const answer = await world.dns.lookUp("Matrix.Example.org.", "A");
  assert.deepEqual(lines(answer), [
    "matrix.example.org 7200 CNAME edge.provider.example",
    "edge.provider.example 60 CNAME pop7.provider.example",
    "pop7.provider.example 30 A 192.0.2.7",
  ]);
  assert.ok([...answer.chain, ...answer.records].every(({ authoritative }) => authoritative));
  assert.match(answer.records[0]!.from, /^ns\.provider\.example /);
});

test("aliases that go round in a circle end", async () => {
  await using world = await asked();
  assert.equal((await world.dns.lookUp("round.example.org", "A")).outcome, "loop");
  assert.equal((await world.dns.ask("round.example.org", "A")).outcome, "loop");
});

test("what is not there says so, and for how long that is remembered", async () => {
  await using world = await asked();
  const noName = await world.dns.lookUp("nothing.example.org", "A");
  assert.deepEqual([noName.outcome, noName.negativeTtl, noName.zone], ["no-name", 600, "example.org"]);
  const noData = await world.dns.lookUp("pop7.provider.example", "AAAA");
  assert.deepEqual([noData.outcome, noData.negativeTtl], ["no-data", 120]);
  const behindAlias = await world.dns.lookUp("matrix.example.org", "AAAA");
  assert.deepEqual([behindAlias.outcome, behindAlias.chain.length], ["no-data", 2]);
  // A name between others exists, though it has no records (RFC 8020).
  assert.equal((await world.dns.lookUp("_tcp.example.org", "SRV")).outcome, "no-data");
});

test("the ways of not answering are told apart", async () => {
  const outcomeOf = async (mischief: DnsServerOptions["mischief"] & object) => {
    await using world = await asked({ mischief }, { wait: 400, tries: 1 });
    return (await world.dns.lookUp("example.org", "A")).outcome;
  };
  assert.equal(await outcomeOf({ all: "silent" }), "silent");
  assert.equal(await outcomeOf({ all: "servfail" }), "failed");
  assert.equal(await outcomeOf({ all: "refused" }), "refused");
  assert.equal(await outcomeOf({ all: "garbage" }), "garbled");
  assert.equal(await outcomeOf({ all: "wrong-id" }), "silent");
  assert.equal(await outcomeOf({ all: "wrong-question" }), "silent");
  const nobody = realDns({ resolvers: [{ address: "127.0.0.1", port: 9 }], timeout: 60, tries: 1 });
  assert.equal((await nobody.lookUp("example.org", "A")).outcome, "silent");
});

test("an answer that did not fit into a datagram is fetched by TCP", async () => {
  await using world = await asked({ mischief: { all: "truncate" } });
  assert.equal((await world.dns.lookUp("example.org", "A")).records.length, 2);
  assert.ok(world.server.asked.includes("tcp direct A example.org"));
});

test("a lost question is asked again", async () => {
  await using world = await asked({ mischief: { all: "silent" } }, { wait: 100, tries: 50 });
  setTimeout(() => {
    delete world.server.mischief["all"];
  }, 150);
  assert.equal((await world.dns.ask("example.org", "A")).outcome, "found");
});

for (const mischief of ["silent", "refused", "lame", "garbage", "wrong-id"] as const) {
  test(`a zone whose own server is ${mischief} is taken from the resolver, which is said`, async () => {
    await using world = await asked({ mischief: { direct: mischief } }, { wait: 400, tries: 1 });
    const answer = await world.dns.lookUp("matrix.example.org", "A");
    assert.deepEqual(
      [...answer.chain, ...answer.records].map(({ ttl, authoritative }) => [ttl, authoritative]),
      [
        [7175, false],
        [35, false],
        [5, false],
      ],
    );
  });
}

test("a server that never answers is waited for once, not for every question", async () => {
  await using world = await asked({ mischief: { direct: "silent" } }, { wait: 250, tries: 2 });
  const unanswered = () => world.server.asked.filter((one) => one.includes(" direct ")).length;
  for (const name of ["example.org", "matrix.example.org"]) await world.dns.lookUp(name, "AAAA");
  const before = unanswered();
  assert.ok(before > 0);
  await world.dns.lookUp("about.example.org", "AAAA");
  assert.equal(unanswered(), before, "the server of this zone is known to be silent");
});

test("a resolver that does not know leaves it to the next", async () => {
  await using good = await asked();
  await using bad = await asked({ mischief: { all: "refused" } });
  const dns = realDns({
    resolvers: [bad.server, good.server].map(({ address, port }) => ({ address, port })),
    timeout: 300,
  });
  assert.equal((await dns.ask("example.org", "A")).outcome, "found");
  assert.ok(bad.server.asked.length > 0);
});

test("another resolver brings its port along for the zones' own servers", async () => {
  await using world = await asked();
  const dns = realDns({ resolvers: [], timeout: 300 }).withResolver({
    address: "127.0.0.1",
    port: world.server.port,
  });
  const { records } = await dns.lookUp("example.org", "A");
  assert.deepEqual([records.length, records[0]?.authoritative], [2, true]);
});

test("a run that is stopped does not wait for an answer", async () => {
  await using world = await asked({ mischief: { all: "silent" } }, { wait: 60_000 });
  const stopping = new AbortController();
  setTimeout(() => {
    stopping.abort(new Error("stop"));
  }, 50);
  await assert.rejects(world.dns.lookUp("example.org", "A", stopping.signal), /^Error: stop$/);
});

test("a name that DNS cannot hold is no name, and is not asked for", async () => {
  await using world = await asked();
  for (const name of ["a..b", "", `${"x".repeat(64)}.example.org`, `${"x.".repeat(130)}org`, "ü.example.org"])
    assert.equal((await world.dns.lookUp(name, "A")).outcome, "no-name", name);
  assert.deepEqual(world.server.asked, []);
});

test("a resolver is an address, with or without a port", () => {
  assert.deepEqual(parseDnsServer("192.0.2.1"), { address: "192.0.2.1", port: 53 });
  assert.deepEqual(parseDnsServer("192.0.2.1:5353"), { address: "192.0.2.1", port: 5353 });
  assert.deepEqual(parseDnsServer("2001:db8::1"), { address: "2001:db8::1", port: 53 });
  assert.deepEqual(parseDnsServer("[2001:db8::1]:5353"), { address: "2001:db8::1", port: 5353 });
  for (const text of ["", "ns.example.org", "192.0.2.1:0", "192.0.2.1:65536", "[192.0.2.1", "1.2.3.4:x"])
    assert.throws(() => parseDnsServer(text), { code: "bad-usage" }, text);
});
