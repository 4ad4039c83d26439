import assert from "node:assert/strict";
import { test } from "node:test";
import { type Delegation, inspectDelegation } from "../../src/delegation/inspect.ts";
import { reachableFindings } from "../../src/delegation/reachable.ts";
import type { Finding } from "../../src/report/finding.ts";
import { noProgress } from "../../src/system/progress.ts";
import {
  authority,
  clientFile,
  HOMESERVER,
  json,
  NOW,
  serverFile,
  startWorld,
  type WorldOptions,
} from "./world.ts";

const SOON = { "cache-control": "max-age=300" };
const HEALTHY = {
  zones: {
    "example.org": [
      "example.org 300 A 127.0.0.1",
      "matrix.example.org 300 CNAME edge.provider.example",
      "example.org 3600 CAA 0 issue ca.example",
    ],
    "provider.example": ["edge.provider.example 60 A 127.0.0.1"],
  },
  pages: {
    ...HOMESERVER,
    ...serverFile("matrix.example.org:443", SOON),
    ...clientFile("https://matrix.example.org/", SOON),
  },
} satisfies WorldOptions;

/** The healthy world, with records added and pages changed. */
const but = (
  records: readonly string[],
  pages: NonNullable<WorldOptions["pages"]> = {},
  more: Partial<WorldOptions> = {},
): WorldOptions => ({
  zones: { ...HEALTHY.zones, "example.org": [...HEALTHY.zones["example.org"], ...records] },
  pages: { ...HEALTHY.pages, ...pages },
  ...more,
});

async function inspected(options: WorldOptions, question = {}): Promise<Delegation> {
  await using world = await startWorld(options);
  return await world.inspect(question);
}

const ids = ({ findings }: Delegation, ...levels: Finding["level"][]) =>
  findings.filter(({ level }) => levels.includes(level)).map(({ id }) => id);

function finding({ findings }: Delegation, id: string): Finding {
  const [found, ...more] = findings.filter((each) => each.id === id);
  assert.ok(found && more.length === 0, `one ${id} among ${findings.map((each) => each.id).join(", ")}`);
  if (found.level === "warning") assert.ok(found.hint, `${id} says what to do`);
  assert.doesNotMatch(found.sentence, /\.$|^[A-Z](?!NS|AA)/);
  return found;
}

/** The only thing that is wrong. */
function onlyWarning(delegation: Delegation, id: string): Finding {
  assert.deepEqual(ids(delegation, "warning", "blocker"), [id]);
  return finding(delegation, id);
}

test("a healthy server gives nothing above a note, and the whole picture", async () => {
  const found = await inspected(HEALTHY, { publicBaseUrl: "https://matrix.example.org" });
  assert.deepEqual(ids(found, "warning", "blocker"), []);
  assert.deepEqual(ids(found, "note"), ["well-known-on-moving-host", "caa", "safe-from"]);
  const { facts } = found;
  assert.deepEqual(
    facts.records.map(({ name, ttl, type, value, authoritative, moves }) => [
      `${name} ${ttl} ${type} ${value}`,
      authoritative,
      moves,
    ]),
    [
      ["edge.provider.example 60 A 127.0.0.1", true, true],
      ["example.org 300 A 127.0.0.1", true, true],
      ['example.org 3600 CAA 0 issue "ca.example"', true, false],
      ["matrix.example.org 300 CNAME edge.provider.example", true, true],
    ],
  );
  assert.match(facts.records[0]!.from, /^ns\.provider\.example \(/);
  assert.deepEqual(facts.federation!.addresses[0]!.certificate!.fits, true);
  assert.deepEqual([facts.client!.baseUrl, facts.client!.answers], ["https://matrix.example.org/", true]);
  assert.deepEqual([facts.wellKnown.server!.cacheSeconds, facts.wellKnown.client!.cacheSeconds], [300, 300]);
  assert.equal(facts.safeFrom, NOW + 48 * 3_600_000);
  assert.deepEqual(facts.toLower, []);
  assert.deepEqual(
    facts.caa.map(({ name, at }) => `${name}: ${at ?? "none"}`),
    ["matrix.example.org: example.org", "example.org: example.org"],
  );
  assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts, "the facts are plain values");
});

test("a long time to live of a record that must change is a warning, with what to set", async () => {
  const found = await inspected({
    ...HEALTHY,
    zones: {
      "example.org": ["example.org 172801 A 127.0.0.1", "matrix.example.org 900 CNAME edge.provider.example"],
      "provider.example": ["edge.provider.example 60 A 127.0.0.1"],
    },
  });
  const { sentence, evidence } = onlyWarning(found, "dns-ttl");
  assert.equal(sentence, "resolvers cache example.org A for 2 d 00 h");
  assert.deepEqual(evidence, [
    "example.org A (now 127.0.0.1): from 172801 to 300",
    "matrix.example.org CNAME (now edge.provider.example): from 900 to 300",
  ]);
  assert.equal(found.facts.safeFrom, NOW + 172_801_000);
  assert.equal(finding(found, "safe-from").evidence![0], "2 d 00 h: example.org A");
});

test("up to an hour is a note; and a record that stays may live as long as it likes", async () => {
  const zones = (ttl: number) => ({
    ...HEALTHY,
    zones: {
      "example.org": [`example.org ${ttl} A 127.0.0.1`, "matrix.example.org 300 A 127.0.0.2"],
      "provider.example": [],
    },
    pages: { ...HEALTHY.pages, ...serverFile("matrix.example.org:443", SOON) },
  });
  // 127.0.0.2 is another host: the well-known files stay where they are.
  assert.deepEqual(
    ids(await inspected(zones(90_000)), "warning").filter((id) => id === "dns-ttl"),
    [],
  );
  const shared = but(
    [],
    {},
    { zones: { "example.org": ["example.org 3600 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.1"] } },
  );
  assert.equal(finding(await inspected(shared), "dns-ttl").level, "note");
});

test("times to live are the zone's own, not what a resolver has left", async () => {
  const found = await inspected({ ...HEALTHY, age: 299 });
  assert.equal(found.facts.records.find(({ type }) => type === "CNAME")!.ttl, 300);
  const counted = await inspected({ ...HEALTHY, age: 100, mischief: { direct: "refused" } });
  assert.equal(counted.facts.records.find(({ type }) => type === "CNAME")!.ttl, 200);
  assert.equal(finding(counted, "dns-not-authoritative").level, "note");
});

test("once everything is low, the wait counts from when it was lowered", async () => {
  const loweredAt = NOW - 40 * 3_600_000;
  assert.equal((await inspected(HEALTHY, { loweredAt })).facts.safeFrom, NOW + 8 * 3_600_000);
  const notYet = but([], serverFile("matrix.example.org:443"));
  assert.equal((await inspected(notYet, { loweredAt })).facts.safeFrom, NOW + 48 * 3_600_000);
});

test("two days after everything was lowered it is safe at once", async () => {
  const found = await inspected(HEALTHY, { loweredAt: NOW - 48 * 3_600_000 });
  assert.deepEqual(finding(found, "safe-from").level, "ok");
});

test("a well-known file without a word on caching is kept for a day, and is to be lowered", async () => {
  const found = await inspected(but([], serverFile("matrix.example.org:443")));
  assert.equal(finding(found, "well-known-cache:server").level, "note");
  assert.deepEqual(found.facts.toLower, [
    {
      kind: "header",
      url: "https://example.org/.well-known/matrix/server",
      now: null,
      from: 86_400,
      to: 300,
    },
  ]);
});

test("a client file that browsers keep for a week is a warning", async () => {
  const week = clientFile("https://matrix.example.org", { "cache-control": "public, max-age=604800" });
  const found = await inspected(but([], week));
  onlyWarning(found, "well-known-cache:client");
  assert.equal(found.facts.safeFrom, NOW + 604_800_000);
});

test("DNS that does not answer is one finding", async () => {
  const found = await inspected({ ...HEALTHY, mischief: { all: "silent" } });
  onlyWarning(found, "dns-unavailable");
  assert.deepEqual(ids(found, "ok", "note"), []);
  assert.equal(found.facts.safeFrom, NOW + 48 * 3_600_000);
});

test("a server name that does not exist is not found", async () => {
  const found = await inspected({ zones: { org: [] } });
  const { sentence } = finding(found, "server-unresolved");
  assert.equal(sentence, "other servers look for example.org at example.org port 8448, which has no address");
});

test("a text that is no server name is said to be none", async () => {
  for (const serverName of ["", "https://example.org", "a b", "example.org:0", "[::1", "_x.example.org"])
    onlyWarning(await inspected({ zones: {} }, { serverName }), "server-unresolved");
});

test("a record that cannot be looked up is named, and the rest still appears", async () => {
  const srv = "_matrix-fed._tcp.example.org";
  const found = await inspected(
    but(
      [],
      { "example.org/.well-known/matrix/server": { status: 404 } },
      { mischief: { [`SRV ${srv}`]: "servfail" } },
    ),
  );
  assert.deepEqual(finding(found, "dns-lookup-failed").evidence, [
    `${srv} SRV: the name servers return an error`,
  ]);
  assert.match(finding(found, "server-unresolved").sentence, /the name servers return an error$/);
  assert.equal(finding(found, "client-answers").level, "ok");
});

test("a server name with a port, and one that is an address, cannot be delegated", async () => {
  const port = await inspected(HEALTHY, { serverName: "example.org:8448" });
  onlyWarning(port, "server-name-port");
  const address = await inspected(HEALTHY, { serverName: "127.0.0.1" });
  assert.match(onlyWarning(address, "server-name-is-ip").hint!, /takes over this address/);
});

test("of a server name that is an address, DNS is asked nothing, and its silence is no fault", async () => {
  await using world = await startWorld({ ...HEALTHY, mischief: { all: "silent" } });
  onlyWarning(await world.inspect({ serverName: "127.0.0.1" }), "server-name-is-ip");
  assert.deepEqual(world.dns.asked, []);
});

test("an address that does not answer is named, though another does", async () => {
  const found = await inspected(
    but(["example.org 300 AAAA ::ffff:127.0.0.9", "example.org 300 A 127.0.0.9"]),
  );
  // The name of the well-known files: nobody connects there for more.
  assert.deepEqual(ids(found, "warning"), []);

  const six = await inspected({
    ...HEALTHY,
    zones: {
      "example.org": HEALTHY.zones["example.org"],
      "provider.example": [
        "edge.provider.example 60 A 127.0.0.1",
        "edge.provider.example 60 AAAA ::ffff:127.0.0.9",
      ],
    },
  });
  assert.deepEqual(ids(six, "warning"), ["federation-address-unreachable", "client-address-unreachable"]);
  const { sentence, evidence } = finding(six, "federation-address-unreachable");
  assert.equal(sentence, "an IPv6 address that other servers use does not respond");
  assert.match(evidence![0]!, /^matrix\.example\.org, ::ffff:.* port 443: the connection was refused$/);
});

test("a server that is down, or is another, is said to be", async () => {
  const down = await inspected(
    but(
      [],
      {},
      { zones: { "example.org": ["example.org 300 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.9"] } },
    ),
  );
  assert.deepEqual(ids(down, "warning"), ["federation-unreachable", "client-unreachable"]);
  const other = await inspected(
    but([], { "/_matrix/key/v2/server": { body: "hello" }, "/_matrix/client/versions": { status: 401 } }),
  );
  assert.match(
    finding(other, "federation-unreachable").evidence![0]!,
    /does not publish a signing key \(status 200\)$/,
  );
  assert.match(finding(other, "client-unreachable").evidence![0]!, /is not a homeserver \(status 401\)$/);
});

test("a certificate that ends soon, has ended, or is for another name", async () => {
  const soon = { certificates: { "matrix.example.org": authority.sign(["matrix.example.org"], 10) } };
  const clock = { now: () => Date.now() };
  await using world = await startWorld({ ...HEALTHY, ...soon });
  const ending = await inspectDelegation(
    { serverName: "example.org" },
    { ...world.sources, machine: clock },
    noProgress,
  );
  assert.match(onlyWarning(ending, "certificate-expiring").sentence, /expires in (9|10) days$/);

  for (const [names, days, words] of [
    [["matrix.example.org"], -1, /the certificate has expired/],
    [["edge.provider.example"], 90, /it is for other names; for edge\.provider\.example, by Nobody/],
  ] as const) {
    const certificates = { "matrix.example.org": authority.sign(names, days) };
    const found = await inspected({ ...HEALTHY, certificates });
    assert.match(onlyWarning(found, "certificate-invalid").evidence![0]!, words);
  }
});

test("a deprecated SRV record that nobody needs any more is found, and so is an unused one", async () => {
  const found = await inspected(
    but([
      "_matrix._tcp.example.org 300 SRV 0 0 8448 example.org",
      "_matrix-fed._tcp.matrix.example.org 300 SRV 0 0 443 example.org",
    ]),
  );
  assert.deepEqual(ids(found, "warning"), []);
  assert.match(finding(found, "srv-deprecated").evidence![0]!, /not in use$/);
  assert.match(
    finding(found, "srv-unused").evidence![0]!,
    /^_matrix-fed\._tcp\.matrix\.example\.org SRV 0 0 443/,
  );
});

test("an SRV record that points to an alias is forbidden", async () => {
  const found = await inspected(
    but(["_matrix-fed._tcp.example.org 300 SRV 0 0 443 matrix.example.org"], {
      "example.org/.well-known/matrix/server": { status: 404 },
    }),
  );
  onlyWarning(found, "srv-alias");
  assert.ok(found.facts.records.find(({ type }) => type === "SRV")!.moves);
});

test("addresses in an HTTPS record move along", async () => {
  const hint = "edge.provider.example 7200 UNKNOWN_65 000100000400047f000001";
  const found = await inspected({
    ...HEALTHY,
    zones: { ...HEALTHY.zones, "provider.example": [...HEALTHY.zones["provider.example"], hint] },
  });
  assert.deepEqual(finding(found, "https-hints").evidence, ["edge.provider.example HTTPS: 127.0.0.1"]);
  assert.deepEqual(onlyWarning(found, "dns-ttl").evidence, [
    "edge.provider.example HTTPS (now 1 . 127.0.0.1): from 7200 to 300",
  ]);
});

test("CAA records: which let a new host have its certificate, and which do not", async () => {
  const caaFinding = async (...records: string[]) => {
    const zones = {
      "example.org": [
        "example.org 300 A 127.0.0.1",
        "matrix.example.org 300 CNAME edge.provider.example",
        ...records,
      ],
      "provider.example": HEALTHY.zones["provider.example"],
    };
    const found = await inspected({ ...HEALTHY, zones });
    return found.findings.filter(({ id }) => id.startsWith("caa")).map(({ id, level }) => `${level} ${id}`);
  };
  const at = (value: string, name = "example.org") => `${name} 300 CAA 0 ${value}`;
  assert.deepEqual(await caaFinding(), ["ok caa"]);
  assert.deepEqual(await caaFinding(at("issue ca.example")), ["note caa"]);
  assert.deepEqual(await caaFinding(at("iodef mailto:me@example.org")), ["note caa"]);
  assert.deepEqual(await caaFinding(at("issue ca.example; accounturi=https://ca.example/1")), [
    "warning caa-account",
  ]);
  assert.deepEqual(
    await caaFinding(at("issue ca.example; accounturi=https://ca.example/1"), at("issue other.example")),
    ["note caa"],
  );
  assert.deepEqual(await caaFinding(at("issue ca.example; validationmethods=dns-01")), [
    "warning caa-method",
  ]);
  assert.deepEqual(await caaFinding(at("issue ca.example; validationmethods=dns-01,http-01")), ["note caa"]);
  assert.deepEqual(await caaFinding(at("issue ;")), ["warning caa-forbids"]);
  assert.deepEqual(await caaFinding("example.org 300 CAA 128 odd thing"), ["warning caa-forbids"]);
  // The records of an alias's target come before those higher up; other names go on upwards.
  const forbidden = {
    ...HEALTHY.zones,
    "provider.example": ["edge.provider.example 60 A 127.0.0.1", at("issue ;", "edge.provider.example")],
  };
  const found = await inspected({ ...HEALTHY, zones: forbidden });
  assert.match(onlyWarning(found, "caa-forbids").sentence, /: matrix\.example\.org$/);
  assert.deepEqual(
    found.facts.caa.map(({ name, at }) => [name, at]),
    [
      ["matrix.example.org", "matrix.example.org"],
      ["example.org", "example.org"],
    ],
  );
});

test("what people forget in the client file", async () => {
  const proxy = json(
    { "m.homeserver": { base_url: "https://matrix.example.org" }, "org.matrix.msc3575.proxy": { url: "x" } },
    SOON,
  );
  onlyWarning(
    await inspected(but([], { "example.org/.well-known/matrix/client": proxy })),
    "sliding-sync-proxy",
  );
  const closed = {
    headers: SOON,
    body: JSON.stringify({ "m.homeserver": { base_url: "https://matrix.example.org" } }),
  };
  onlyWarning(
    await inspected(but([], { "example.org/.well-known/matrix/client": closed })),
    "well-known-cors",
  );
  const differs = await inspected(HEALTHY, { publicBaseUrl: "https://old.example.org" });
  onlyWarning(differs, "base-url-differs");
});

test("without a client file, the configuration's address is looked at", async () => {
  const found = await inspected(but([], { "example.org/.well-known/matrix/client": { status: 404 } }), {
    publicBaseUrl: "https://matrix.example.org/",
  });
  assert.deepEqual(ids(found, "warning"), []);
  assert.equal(finding(found, "well-known-absent:client").level, "note");
  assert.deepEqual([found.facts.client!.source, found.facts.client!.answers], ["public_baseurl", true]);
});

test("addresses that cannot be tried from here, or that only this network knows, are no fault", () => {
  const place = { host: "matrix.example.org", port: 443, problem: "this host has no route to that network" };
  const addresses = [
    { ...place, address: "2001:db8::1", family: 6, state: "untried" },
    { ...place, address: "172.31.0.1", family: 4, state: "answers" },
  ] as const;
  const client = {
    baseUrl: "http://matrix.example.org",
    source: "well-known",
    host: place.host,
    port: 443,
    answers: true,
  } as const;
  const findings = reachableFindings({ client: { ...client, addresses } }, NOW);
  assert.deepEqual(
    findings.map(({ level, id }) => `${level} ${id}`),
    ["ok client-answers", "note address-not-tested", "note address-private"],
  );
  for (const address of ["172.15.0.1", "172.32.0.1", "11.0.0.1", "2001:db8::fd00:1"]) {
    const [fact] = addresses;
    const public_ = reachableFindings({ client: { ...client, addresses: [{ ...fact, address }] } }, NOW);
    assert.ok(!public_.some(({ id }) => id === "address-private"), address);
  }
});

test("a run that is stopped rejects with its reason", async () => {
  await using world = await startWorld({ ...HEALTHY, pages: { "/.well-known/matrix/server": "hang" } });
  const stopping = new AbortController();
  setTimeout(() => {
    stopping.abort(new Error("stop"));
  }, 150);
  const sources = { ...world.sources, signal: stopping.signal };
  await assert.rejects(
    inspectDelegation({ serverName: "example.org" }, sources, noProgress),
    /^Error: stop$/,
  );
});
