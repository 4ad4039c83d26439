import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delegation } from "../../src/delegation/inspect.ts";
import { HOMESERVER, serverFile, startWorld, type WorldOptions } from "./world.ts";

const HOST = "example.org 300 A 127.0.0.1";
const MATRIX = "matrix.example.org 300 A 127.0.0.1";
const fed = (name: string, target: string) => `_matrix-fed._tcp.${name} 300 SRV 10 5 8449 ${target}`;
const old = (name: string, target: string) => `_matrix._tcp.${name} 300 SRV 10 5 8450 ${target}`;

const zone = (...records: string[]) => ({ "example.org": records });

/** "step: Host header, certificate's name, host:port". */
function ending({ facts }: Delegation): string {
  const { federation } = facts;
  if (!federation) return `stopped at ${facts.steps.at(-1)?.id ?? "nothing"}`;
  const { step, hostHeader, certificateName, sni, targets } = federation;
  const places = targets.map(({ host, port }) => `${host}:${port}`).join(" ");
  return `${step}: ${hostHeader}, ${certificateName}${sni === certificateName ? "" : ` (sni ${sni ?? "none"})`}, ${places}`;
}

const passed = ({ facts }: Delegation) => facts.steps.map(({ id }) => id).join(" ");

interface Case extends WorldOptions {
  readonly serverName?: string;
  readonly ends: string;
  readonly steps: string;
}

/** Every row of "Resolving server names" in the server-server API. */
const CASES: Readonly<Record<string, Case>> = {
  "an IP address is where it says, at the usual port": {
    serverName: "127.0.0.1",
    zones: {},
    ends: "1: 127.0.0.1, 127.0.0.1 (sni none), 127.0.0.1:8448",
    steps: "1",
  },
  "an IP address with a port": {
    serverName: "127.0.0.1:8999",
    zones: {},
    ends: "1: 127.0.0.1:8999, 127.0.0.1 (sni none), 127.0.0.1:8999",
    steps: "1",
  },
  "a name with a port is not looked up any further": {
    serverName: "example.org:8999",
    zones: zone(HOST, fed("example.org", "matrix.example.org")),
    pages: serverFile("matrix.example.org:443"),
    ends: "2: example.org:8999, example.org, example.org:8999",
    steps: "2",
  },
  "a well-known file with an IP address": {
    zones: zone(HOST),
    pages: serverFile("127.0.0.1"),
    ends: "3.1: 127.0.0.1, 127.0.0.1 (sni none), 127.0.0.1:8448",
    steps: "3 3.1",
  },
  "a well-known file with a port": {
    zones: zone(HOST, MATRIX, fed("matrix.example.org", "example.org")),
    pages: serverFile("matrix.example.org:443"),
    ends: "3.2: matrix.example.org:443, matrix.example.org, matrix.example.org:443",
    steps: "3 3.2",
  },
  "a well-known file and an SRV record, whose target is not what the certificate is for": {
    zones: zone(
      HOST,
      MATRIX,
      fed("matrix.example.org", "example.org"),
      old("matrix.example.org", "nowhere.example"),
    ),
    pages: serverFile("matrix.example.org"),
    ends: "3.3: matrix.example.org, matrix.example.org, example.org:8449",
    steps: "3 3.3",
  },
  "a well-known file and a deprecated SRV record": {
    zones: zone(HOST, MATRIX, old("matrix.example.org", "example.org")),
    pages: serverFile("matrix.example.org"),
    ends: "3.4: matrix.example.org, matrix.example.org, example.org:8450",
    steps: "3 3.3 3.4",
  },
  "a well-known file alone; SRV records of the server name do not count": {
    zones: zone(HOST, MATRIX, fed("example.org", "nowhere.example"), old("example.org", "nowhere.example")),
    pages: serverFile("matrix.example.org"),
    ends: "3.5: matrix.example.org, matrix.example.org, matrix.example.org:8448",
    steps: "3 3.3 3.4 3.5",
  },
  "an SRV record": {
    zones: zone(
      HOST,
      MATRIX,
      fed("example.org", "matrix.example.org"),
      old("example.org", "nowhere.example"),
    ),
    ends: "4: example.org, example.org, matrix.example.org:8449",
    steps: "3 4",
  },
  "a deprecated SRV record": {
    zones: zone(HOST, MATRIX, old("example.org", "matrix.example.org")),
    ends: "5: example.org, example.org, matrix.example.org:8450",
    steps: "3 4 5",
  },
  "nothing at all": {
    zones: zone(HOST),
    ends: "6: example.org, example.org, example.org:8448",
    steps: "3 4 5 6",
  },
  "several SRV records, by priority and then by weight": {
    zones: zone(
      HOST,
      "_matrix-fed._tcp.example.org 300 SRV 20 99 1 example.org",
      "_matrix-fed._tcp.example.org 300 SRV 10 5 2 example.org",
      "_matrix-fed._tcp.example.org 300 SRV 10 50 3 example.org",
    ),
    ends: "4: example.org, example.org, example.org:3 example.org:2 example.org:1",
    steps: "3 4",
  },
  "an SRV record that says that there is no service ends the walk": {
    zones: zone(HOST, "_matrix-fed._tcp.example.org 300 SRV 0 0 0 .", old("example.org", "example.org")),
    ends: "stopped at 4",
    steps: "3 4",
  },
  "an SRV record that cannot be looked up ends the walk": {
    zones: zone(HOST, old("example.org", "example.org")),
    mischief: { "SRV _matrix-fed._tcp.example.org": "servfail" },
    ends: "stopped at 4",
    steps: "3 4",
  },
  "a server name that exists only as an SRV record": {
    zones: zone(MATRIX, fed("example.org", "matrix.example.org")),
    ends: "4: example.org, example.org, matrix.example.org:8449",
    steps: "3 4",
  },
};

for (const [title, { serverName = "example.org", zones, pages = {}, ends, steps, ...more }] of Object.entries(
  CASES,
)) {
  test(`${title}: step ${ends.split(":")[0]!}`, async () => {
    await using world = await startWorld({ zones, pages: { ...HOMESERVER, ...pages }, ...more });
    const found = await world.inspect({ serverName });
    assert.equal(ending(found), ends);
    assert.equal(passed(found), steps);
  });
}

test("the server is asked with the Host header and the name in TLS that the step demands", async () => {
  await using world = await startWorld({
    zones: zone(HOST, MATRIX, fed("matrix.example.org", "example.org")),
    pages: { ...HOMESERVER, ...serverFile("matrix.example.org") },
  });
  const { facts, findings } = await world.inspect();
  assert.deepEqual(world.federation.asked, ["matrix.example.org matrix.example.org /_matrix/key/v2/server"]);
  assert.deepEqual(facts.federation!.published, {
    serverName: "example.org",
    verifyKeys: { "ed25519:a_one": "PuBliC" },
  });
  assert.equal(findings[0]!.id, "server-resolved");
  assert.equal(
    findings[0]!.sentence,
    "other servers find example.org at example.org port 8449, through its well-known file and an SRV record",
  );
});

test("a port in the server name is in the Host header, also when it is the usual one of HTTPS", async () => {
  await using world = await startWorld({ zones: zone(HOST), pages: HOMESERVER });
  await world.inspect({ serverName: "example.org:443" });
  assert.ok(world.https.asked.includes("example.org example.org:443 /_matrix/key/v2/server"));
});
