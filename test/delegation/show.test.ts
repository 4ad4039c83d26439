import assert from "node:assert/strict";
import { test } from "node:test";
import { delegationShowCommand } from "../../src/commands/delegation-show.ts";
import { delegationText } from "../../src/delegation/show-text.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { startWeb } from "../support/web-server.ts";
import { authority, clientFile, HOMESERVER, json, serverFile, startWorld, type TestWorld } from "./world.ts";

const ZONES = {
  "example.org": [
    "example.org 86400 A 127.0.0.1",
    "matrix.example.org 3600 CNAME edge.provider.example",
    "example.org 3600 CAA 0 issue ca.example; accounturi=https://ca.example/acct/1",
  ],
  "provider.example": ["edge.provider.example 60 A 127.0.0.1", "edge.provider.example 60 AAAA ::1"],
};
const PAGES = {
  ...HOMESERVER,
  ...serverFile("matrix.example.org:443"),
  ...clientFile("https://matrix.example.org", { "cache-control": "max-age=3600" }),
};

const LOOK = { columns: 200, colour: false };

test("everything on the way is shown: steps, names, addresses, certificates, caches, TTLs and CAA", async () => {
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  const text = delegationText((await world.inspect()).facts, LOOK).replaceAll(/\s+/g, " ");
  for (const part of [
    "3 https://example.org/.well-known/matrix/server m.server is matrix.example.org:443 next step",
    "3.2 matrix.example.org:443 port 443 decides",
    "Host header matrix.example.org:443, SNI matrix.example.org, certificate for matrix.example.org; signs as example.org with ed25519:a_one PuBliC",
    "matrix.example.org ::1 443 does not answer: the connection was refused",
    "https://matrix.example.org, from https://example.org/.well-known/matrix/client",
    "Cache-Control: max-age=3600, so it may be cached for 1 h 00 min",
    "Cache-Control: none, so it may be cached for 1 d 00 h",
    "matrix.example.org 3600 CNAME edge.provider.example yes ns.example.org",
    "edge.provider.example 60 AAAA ::1 yes",
    "example.org 10 min 00 s, provider.example 10 min 00 s.",
    'example.org: 0 issue "ca.example; accounturi=https://ca.example/acct/1" (at example.org)',
    "Nobody, Test Authority",
  ])
    assert.ok(text.includes(part), `${part}\nis missing in\n${text}`);
});

const CALLS = [{ type: "livekit", livekit_service_url: "https://matrix.example.org/livekit/jwt" }];

test("every well-known file is shown with its keys, and what would be lost with the old host is warned of", async () => {
  const pages = {
    ...PAGES,
    "example.org/.well-known/matrix/client": json({
      "m.homeserver": { base_url: "https://matrix.example.org" },
      "org.matrix.msc4143.rtc_foci": CALLS,
      "io.element.e2ee": { default: true },
    }),
    "example.org/.well-known/matrix/support": json({ contacts: [] }),
    "example.org/.well-known/element/element.json": json([1]),
  };
  await using world = await startWorld({ zones: ZONES, pages });
  const { facts, findings } = await world.inspect();
  const text = delegationText(facts, LOOK).replaceAll(/\s+/g, " ");
  for (const part of [
    "https://example.org/.well-known/matrix/client: https://matrix.example.org with org.matrix.msc4143.rtc_foci, io.element.e2ee",
    "https://example.org/.well-known/matrix/support: it is there with contacts",
    "https://example.org/.well-known/element/element.json: broken, it contains no JSON object",
    "not there: https://example.org/.well-known/matrix/policy_server, https://example.org/.well-known/matrix/mautrix",
  ])
    assert.ok(text.includes(part), `${part}\nis missing in\n${text}`);
  const lost = findings.find(({ id }) => id === "well-known-to-carry");
  assert.equal(lost?.level, "warning");
  assert.deepEqual(lost.evidence, [
    "https://example.org/.well-known/matrix/client: org.matrix.msc4143.rtc_foci, io.element.e2ee",
    "https://example.org/.well-known/matrix/support",
  ]);
  assert.match(lost.hint!, /delegation files/);
});

test("files on another host than the one that moves are not lost, and without more than the two addresses nothing is", async () => {
  const more = { "example.org/.well-known/matrix/support": json({ contacts: [] }) };
  const zones = { ...ZONES, "provider.example": ["edge.provider.example 60 A 127.0.0.9"] };
  await using elsewhere = await startWorld({ zones, pages: { ...PAGES, ...more } });
  await using plain = await startWorld({ zones: ZONES, pages: PAGES });
  for (const world of [elsewhere, plain]) {
    const { findings } = await world.inspect();
    assert.equal(
      findings.some(({ id }) => id === "well-known-to-carry"),
      false,
    );
  }
});

test("a server that cannot be found is shown as far as discovery went", async () => {
  await using world = await startWorld({
    zones: { "example.org": ["_matrix-fed._tcp.example.org 300 SRV 0 0 0 ."] },
  });
  const text = delegationText((await world.inspect()).facts, LOOK).replaceAll(/\s+/g, " ");
  assert.match(text, /4 SRV _matrix-fed\._tcp\.example\.org the service is not offered: 0 0 0 \. ends here/);
  assert.match(text, /no base URL: example\.org has no address/);
});

test("addresses that lead to different servers are a warning, though each answers", async () => {
  const zones = { "example.org": ["example.org 300 A 127.0.0.1", "example.org 300 A 127.0.0.2"] };
  await using world = await startWorld({ zones, pages: { ...HOMESERVER, ...serverFile("example.org:443") } });
  const other = json({ server_name: "example.org", verify_keys: { "ed25519:a_two": { key: "OtHer" } } });
  await using second = await startWeb({
    address: "127.0.0.2",
    port: world.https.port,
    certificates: { "": authority.sign(["example.org"]) },
    answer: (_, path) => (path === "/_matrix/key/v2/server" ? other : undefined),
  });
  assert.ok(second.port > 0);
  const { findings } = await world.inspect();
  assert.deepEqual(findings.find(({ id }) => id === "federation-addresses-differ")?.evidence, [
    "127.0.0.1 port 443: example.org, ed25519:a_one PuBliC",
    "127.0.0.2 port 443: example.org, ed25519:a_two OtHer",
  ]);
});

async function shown({ sources, dns }: TestWorld, given: Record<string, unknown>) {
  const system = { ...sources, terminal: { results: LOOK } } as unknown as System;
  const options = delegationShowCommand.parse({
    argument: "example.org",
    resolver: [`${dns.address}:${dns.port}`],
    ...given,
  });
  const view = { ...noProgress, outage: () => undefined, live: () => undefined, stop: () => undefined };
  return await delegationShowCommand.run(options, system, view);
}

test("a server's private address is followed only where a person named the host", async () => {
  await using world = await startWorld({ zones: ZONES, pages: PAGES });
  const { findings, failure, details } = await shown(world, {});
  const refused = findings.find(({ id }) => id === "private-not-followed");
  assert.match(refused!.hint!, /--allow-private matrix\.example\.org$/);
  assert.equal(failure?.code, "found-warnings");
  assert.equal(details["safeFrom"], "2026-11-27T12:00:00.000Z");
  assert.deepEqual(
    world.https.asked.filter((line) => line.startsWith("matrix.")),
    [],
  );
  const allowed = await shown(world, { allowPrivate: ["matrix.example.org"] });
  assert.equal(
    allowed.findings.some(({ id }) => id === "private-not-followed"),
    false,
  );
  assert.ok(world.https.asked.some((line) => line.startsWith("matrix.")));
});
