import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { delegationFilesCommand } from "../../src/commands/delegation-files.ts";
import { checkDelegation } from "../../src/delegation/check/run.ts";
import { readExpected } from "../../src/delegation/check/expected.ts";
import { calendarOf, calendarText } from "../../src/delegation/files/calendar.ts";
import { carryFiles } from "../../src/delegation/files/carry.ts";
import { zoneChanges, zoneText } from "../../src/delegation/files/zone.ts";
import type { RecordFact } from "../../src/delegation/facts.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import type { WebAnswer } from "../support/web-server.ts";
import { signingKey } from "./check/signed.ts";
import { HOMESERVER, json, NOW, startWorld, type TestWorld } from "./world.ts";

const ORDER = { clientUrl: "https://new.example.org", federation: "new.example.org:443", leaving: [] };
const FULL = `{
  "m.homeserver": {"base_url": "https://matrix.example.org", "x.kept": 1},
  "m.identity_server": {"base_url": "https://vector.im"},
  "org.matrix.msc4143.rtc_foci": [{"type": "livekit", "livekit_service_url": "https://matrix.example.org/livekit/jwt"}],
  "io.element.e2ee": {"default": true, "force_disable": false},
  "cc.etke.ketesa": {"restrictBaseUrl": "https://matrix.example.org", "big": 12345678901234567890, "ratio": 1.10}
}`;

test("unknown keys are kept as they are, to the last digit", () => {
  const { files, findings } = carryFiles([{ path: "matrix/client", text: FULL }], ORDER);
  const { after } = files[0]!;
  assert.deepEqual(JSON.parse(after), {
    ...(JSON.parse(FULL) as object),
    "m.homeserver": { base_url: "https://new.example.org", "x.kept": 1 },
  });
  for (const part of ['"big": 12345678901234567890', '"ratio": 1.10']) assert.ok(after.includes(part), after);
  assert.deepEqual(
    Object.keys(JSON.parse(after) as object),
    Object.keys(JSON.parse(FULL) as object),
    "in their order",
  );
  assert.deepEqual(findings, []);
});

test("what still names a host that is left, is told with its key", () => {
  const { findings } = carryFiles([{ path: "matrix/client", text: FULL }], {
    ...ORDER,
    leaving: ["matrix.example.org"],
  });
  assert.deepEqual(
    findings.map(({ id, level }) => `${level} ${id}`),
    ["warning well-known-names-old-host"],
  );
  assert.deepEqual(findings[0]!.evidence, [
    "/.well-known/matrix/client: org.matrix.msc4143.rtc_foci.0.livekit_service_url: https://matrix.example.org/livekit/jwt",
    "/.well-known/matrix/client: cc.etke.ketesa.restrictBaseUrl: https://matrix.example.org",
  ]);
});

test("a file that cannot be read, or has a key twice, is never replaced without a word", () => {
  for (const [text, problem, id] of [
    [undefined, "status 500", "well-known-not-carried:matrix/client"],
    ["[1]", undefined, "well-known-not-carried:matrix/client"],
    ['{"a": ', undefined, "well-known-not-carried:matrix/client"],
    ['{"a": {"b": 1}, "a": {"c": "d:\\"e\\":"}}', undefined, "well-known-key-twice"],
  ] as const) {
    const { findings } = carryFiles([{ path: "matrix/client", text, problem }], ORDER);
    assert.deepEqual(
      findings.map((one) => one.id),
      [id],
      String(text),
    );
    assert.ok(findings[0]!.hint);
  }
});

test("a file that is not there is made, and others are carried byte for byte", () => {
  const support = '{ "support_page":"https://example.org/ü" }\r\n';
  const { files } = carryFiles(
    [
      { path: "matrix/client", text: undefined },
      { path: "matrix/server", text: undefined },
      { path: "matrix/support", text: support },
      { path: "matrix/policy_server", text: undefined },
      { path: "element/element.json", text: "no JSON" },
    ],
    ORDER,
  );
  assert.deepEqual(
    files.map(({ path, before, after, isJson }) => [path, before, after, isJson]),
    [
      [
        "matrix/client",
        undefined,
        '{\n  "m.homeserver": {\n    "base_url": "https://new.example.org"\n  }\n}\n',
        true,
      ],
      ["matrix/server", undefined, '{\n  "m.server": "new.example.org:443"\n}\n', true],
      ["matrix/support", support, support, true],
      ["element/element.json", "no JSON", "no JSON", false],
    ],
  );
});

const record = (name: string, type: RecordFact["type"], value: string, ttl = 3600): RecordFact => ({
  name,
  type,
  value,
  ttl,
  from: "ns",
  authoritative: true,
  moves: true,
});

test("records of the names that will be used are replaced, also AAAA and an alias; SRV records follow", () => {
  const records = [
    record("matrix.example.org", "A", "192.0.2.1", 86_400),
    record("matrix.example.org", "AAAA", "2001:db8::1", 300),
    record("api.example.org", "CNAME", "edge.provider.example"),
    record("edge.provider.example", "A", "192.0.2.9"),
    record("_matrix._tcp.example.org", "SRV", "10 0 8448 matrix.example.org"),
    record("_matrix-fed._tcp.example.org", "SRV", "10 0 8448 matrix.example.org"),
  ];
  const { lower, remove, add, without } = zoneChanges(
    { records, serverName: "example.org" },
    {
      hosts: ["matrix.example.org", "api.example.org"],
      addresses: ["198.51.100.7"],
      federation: { host: "matrix.example.org", port: 443 },
    },
  );
  assert.equal(
    zoneText("lower", lower),
    `; lower
matrix.example.org. 300 IN A 192.0.2.1
api.example.org. 300 IN CNAME edge.provider.example.
`,
  );
  assert.equal(
    zoneText("remove", remove),
    `; remove
matrix.example.org. 86400 IN A 192.0.2.1
matrix.example.org. 300 IN AAAA 2001:db8::1
api.example.org. 3600 IN CNAME edge.provider.example.
_matrix._tcp.example.org. 3600 IN SRV 10 0 8448 matrix.example.org.
_matrix-fed._tcp.example.org. 3600 IN SRV 10 0 8448 matrix.example.org.
`,
  );
  assert.equal(
    zoneText("add", add),
    `; add
matrix.example.org. 300 IN A 198.51.100.7
api.example.org. 300 IN A 198.51.100.7
_matrix-fed._tcp.example.org. 300 IN SRV 10 5 443 matrix.example.org.
`,
  );
  assert.deepEqual(without, []);
});

test("names of somebody else are left alone, and one without an address is told", () => {
  const changes = zoneChanges(
    { records: [record("there.example", "A", "192.0.2.3")], serverName: "example.org" },
    {
      hosts: ["there.example", "nowhere.example", "192.0.2.4"],
      addresses: [],
      federation: { host: "there.example", port: 443 },
    },
  );
  assert.deepEqual(changes, { lower: [], remove: [], add: [], without: ["nowhere.example"] });
});

const HOUR = 3_600_000;

test("the calendar says when to lower, to change, and until when the old answers stay", () => {
  const facts = {
    safeFrom: NOW + 72 * HOUR + 1,
    waits: [{ what: "matrix.example.org A", seconds: 72 * 3600 }],
    toLower: [
      {
        kind: "record" as const,
        name: "matrix.example.org",
        type: "A" as const,
        values: ["192.0.2.1"],
        from: 72 * 3600,
        to: 300,
      },
    ],
  };
  const soon = calendarOf(facts, undefined);
  assert.equal(soon.changeAt, NOW + 72 * HOUR + 15 * 60_000, "rounded up to a quarter of an hour");
  assert.equal(soon.keepUntil, soon.changeAt + 48 * HOUR);
  const named = calendarOf(facts, NOW + 100 * HOUR);
  assert.equal(named.lowerBy, NOW + 28 * HOUR);
  const text = calendarText(named, NOW);
  assert.match(
    text,
    /^Now, at the latest 2026-11-26 16:00 UTC\nLower these:\n- A matrix\.example\.org from 259200 to 300/,
  );
  assert.match(text, /\n2026-11-29 16:00 UTC\nChange the DNS records/);
  assert.match(text, /\nUntil 2026-12-01 16:00 UTC\nKeep answering other servers/);
});

const ZONES = {
  "example.org": [
    "example.org 300 A 127.0.0.1",
    "matrix.example.org 300 A 127.0.0.1",
    "new.example.org 300 A 127.0.0.1",
  ],
};
const CLIENT = json(JSON.parse(FULL) as object);
const KEY = signingKey(1);
const PAGES: Record<string, WebAnswer> = {
  ...HOMESERVER,
  "/_matrix/key/v2/server": json(KEY.publish("example.org", NOW + HOUR)),
  "example.org/.well-known/matrix/server": json({ "m.server": "matrix.example.org:443" }),
  "example.org/.well-known/matrix/client": CLIENT,
  "example.org/.well-known/element/element.json": json({ enforce_element_pro: false }),
};

async function written({ sources, dns }: TestWorld, out: string, given: Record<string, unknown> = {}) {
  const system = {
    ...sources,
    files: realFiles,
    machine: { ...sources.machine, folder: "/" },
    terminal: { columns: 80, colour: false },
  } as unknown as System;
  const options = delegationFilesCommand.parse({
    argument: "example.org",
    clientUrl: "https://new.example.org/",
    federation: "new.example.org:443",
    address: ["127.0.0.1"],
    resolver: [`${dns.address}:${dns.port}`],
    allowPrivate: ["matrix.example.org"],
    out,
    ...given,
  });
  const view = { ...noProgress, outage: () => undefined, live: () => undefined, stop: () => undefined };
  return await delegationFilesCommand.run(options, system, view);
}

test("the folder has everything to change the address, and what the check is to expect", async () => {
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  const out = join(temporaryFolder("delegation-files"), "new", "folder");
  const dry = await written(world, out, { dryRun: true });
  assert.equal(existsSync(out), false, "a dry run writes nothing");
  const { details } = await written(world, out);
  assert.deepEqual(details["written"], dry.details["written"]);
  assert.deepEqual(readdirSync(out), [
    "after",
    "before",
    "calendar.txt",
    "dns-add.zone",
    "dns-lower.zone",
    "dns-remove.zone",
    "expected.json",
    "matrix-well-known.apache.conf",
    "matrix-well-known.caddy",
    "matrix-well-known.haproxy.cfg",
    "matrix-well-known.nginx.conf",
    "matrix-well-known.traefik.yml",
  ]);
  const text = (path: string) => readFileSync(join(out, path), "utf8");
  assert.equal(text("before/.well-known/matrix/client"), (CLIENT as { body: string }).body);
  const after = JSON.parse(text("after/.well-known/matrix/client")) as Record<string, unknown>;
  for (const key of ["org.matrix.msc4143.rtc_foci", "io.element.e2ee", "cc.etke.ketesa"])
    assert.ok(after[key], key);
  assert.equal(text("after/.well-known/element/element.json"), '{"enforce_element_pro":false}');
  assert.equal(statSync(join(out, "after/.well-known/matrix/client")).mode & 0o777, 0o644);
  assert.equal(statSync(join(out, "after/.well-known")).mode & 0o777, 0o755, "a web server can read it");
  const expected = readExpected(text("expected.json"), { path: "expected.json", serverName: "example.org" });
  assert.deepEqual(expected.keys, [{ id: KEY.id, publicKey: KEY.publicKey }]);
  const { results } = await checkDelegation(
    {
      serverName: "example.org",
      expected,
      at: [],
      resolvers: [],
      notaries: [],
      login: undefined,
      privateHosts: [],
      timeout: 2000,
      timeLimit: 60_000,
    },
    { ...world.sources, machine: { now: () => NOW, elapsed: () => 0, wait: () => Promise.resolve() } },
    noProgress,
  );
  assert.deepEqual(
    results
      .filter(({ check, level }) => check.startsWith("well-known") && level === "blocker")
      .map(({ said }) => said),
    ["it differs in m.homeserver", "it differs in m.server"],
    "nothing was changed yet",
  );
});

test("Traefik's file can be read, and has each path of the files for their host, and for nothing else", async () => {
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  const out = temporaryFolder("delegation-traefik");
  const { details } = await written(world, out, { answersFrom: "http://127.0.0.1:9999" });
  const paths = (details["wellKnown"] as { path: string }[]).map(({ path }) => `/.well-known/${path}`);
  assert.ok(paths.length > 2);
  const { http, ...more } = parse(readFileSync(join(out, "matrix-well-known.traefik.yml"), "utf8")) as {
    http: {
      routers: Record<string, { rule: string; priority: number; service: string; tls: object }>;
      services: Record<string, object>;
    };
  };
  assert.deepEqual(more, {});
  const routers = Object.values(http.routers);
  const routed = routers.flatMap(({ rule }) => {
    assert.ok(rule.startsWith("(Host(`example.org`)) && ("), rule);
    return [...rule.matchAll(/ Path\(`([^`]+)`\)|\(Path\(`([^`]+)`\)/g)].map(
      ([, one, first]) => one ?? first,
    );
  });
  assert.deepEqual(routed.toSorted(), paths.toSorted());
  const [service] = Object.keys(http.services) as [string];
  assert.deepEqual(http.services, {
    [service]: { loadBalancer: { passHostHeader: true, servers: [{ url: "http://127.0.0.1:9999" }] } },
  });
  for (const router of routers) {
    assert.equal(router.service, service);
    assert.deepEqual(router.tls, {});
  }
  assert.equal(new Set(routers.map(({ priority }) => priority)).size, routers.length);
});

test("a later run keeps the copies of before the change", async () => {
  const out = temporaryFolder("delegation-again");
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  await written(world, out);
  await using changed = await startWorld({
    zones: ZONES,
    pages: {
      ...PAGES,
      "example.org/.well-known/matrix/client": json({ "m.homeserver": { base_url: "https://x" } }),
    },
  });
  const { findings } = await written(changed, out);
  assert.ok(findings.some(({ id }) => id === "before-kept"));
  assert.match(readFileSync(join(out, "before/.well-known/matrix/client"), "utf8"), /rtc_foci/);
});

test("files that are not served are taken from the web server's folder, those with other names too", async () => {
  const root = temporaryFolder("web-root");
  mkdirSync(join(root, ".well-known/matrix"), { recursive: true });
  writeFileSync(join(root, ".well-known/matrix/client"), FULL);
  writeFileSync(join(root, ".well-known/matrix/own_thing"), '{"a":1}');
  const { "example.org/.well-known/matrix/client": _, ...pages } = PAGES;
  await using world = await startWorld({
    zones: ZONES,
    pages: { ...pages, "example.org/.well-known/matrix/client": "break" },
  });
  const out = temporaryFolder("delegation-from");
  const without = await written(world, out, { dryRun: true });
  assert.ok(without.findings.some(({ id }) => id === "well-known-not-carried:matrix/client"));
  assert.equal(without.failure?.code, "found-warnings");
  await written(world, out, { from: root });
  assert.match(readFileSync(join(out, "after/.well-known/matrix/client"), "utf8"), /rtc_foci/);
  assert.match(readFileSync(join(out, "matrix-well-known.nginx.conf"), "utf8"), /own_thing/);
  await assert.rejects(written(world, out, { from: out }), { code: "file-missing" });
});

test("a change before the caches have ended is warned of, and wrong input is refused", async () => {
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  const out = temporaryFolder("delegation-early");
  const { findings } = await written(world, out, { when: "2026-11-25 13:00 UTC", dryRun: true });
  assert.ok(findings.some(({ id }) => id === "change-too-early"));
  for (const given of [
    { clientUrl: "matrix.example.org" },
    { clientUrl: "https://user:secret@matrix.example.org" },
    { federation: "https://matrix.example.org" },
    { federation: "münchen.example" },
    { address: ["matrix.example.org"] },
  ])
    await assert.rejects(written(world, out, given), { code: "bad-usage" });
  await assert.rejects(written(world, out, { argument: "not a name" }), { code: "bad-usage" });
});
