import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { testSignOut } from "../../src/move/old-address/test-sign-out.ts";
import { forwardBehaviour } from "../../src/old-address/forward.ts";
import { maintenanceBehaviour } from "../../src/old-address/maintenance.ts";
import { decide, LOOP, replyTo, UNREACHABLE } from "../../src/old-address/respond.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";
import type { Behaviour } from "../../src/proxies/answer.ts";
import { PROXIES, type ProxyName } from "../../src/proxies/proxies.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realHttp } from "../../src/system/http/http.ts";
import { realProber } from "../../src/system/http/probe.ts";
import { realWebServers } from "../../src/system/http/serve.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { TestAuthority } from "../support/test-authority.ts";

// What `sign-out test` says of configurations that real programs run.

const folder = temporaryFolder("sign-out-test");
const authority = new TestAuthority();
const newServer = createServer((request, response) => {
  const known = /^\/_matrix\/(federation|key|client\/versions|client\/v3\/login)/.test(request.url ?? "");
  response.writeHead(known ? 200 : 404, { "Content-Type": "application/json" }).end("{}");
});
let to: { readonly origin: string };

before(async () => {
  const { key, cert } = authority.sign(["localhost"]);
  writeFileSync(join(folder, "certificate.pem"), cert);
  writeFileSync(join(folder, "both.pem"), cert + key);
  writeFileSync(join(folder, "key.pem"), key);
  writeFileSync(join(folder, "ca.pem"), authority.pem);
  await new Promise<void>((resolve) => newServer.listen(0, "127.0.0.1", resolve));
  to = { origin: `http://127.0.0.1:${(newServer.address() as { port: number }).port}` };
});

after(() => {
  newServer.close();
  newServer.closeAllConnections();
});

/** The findings by id and level, but those that are ok; and whether something listens on 8448 of this host does not matter. */
async function faultsAt(base: string): Promise<Record<string, string>> {
  const { findings } = await testSignOut(
    { base, authorities: join(folder, "ca.pem"), accepted: [] },
    { files: realFiles, http: realHttp, prober: realProber, signal: new AbortController().signal },
  );
  return Object.fromEntries(
    findings
      .filter(({ id, level }) => level !== "ok" && id !== "federation-port")
      .map(({ id, level }) => [id, level]),
  );
}

async function faultsOf(name: ProxyName, behaviour: Behaviour): Promise<Record<string, string>> {
  const port = await freePort();
  const text = PROXIES[name].site(
    behaviour,
    {
      hosts: ["localhost"],
      listen: [{ address: "127.0.0.1", port }],
      tls: {
        certificate: join(folder, name === "haproxy" ? "both.pem" : "certificate.pem"),
        key: join(folder, "key.pem"),
      },
    },
    name === "nginx" ? [1, 22, 1] : undefined,
  );
  await using _ = await ProxyServer.start(name, text, port);
  return await faultsAt(`https://localhost:${port}`);
}

const untouched = { kind: "nothing" } as const;
const message = "moved";

for (const name of Object.keys(PROXIES) as ProxyName[])
  for (const kind of ["soft", "hard"] as const)
    test(`${name}: the ${kind} sign-out that synlift writes has no fault`, async () => {
      assert.deepEqual(await faultsOf(name, signOutBehaviour({ kind, to, message, untouched })), {});
    });

/** Element's guide, "Migrate From Self Hosted to EMS": its block, with a port and a certificate of this test. */
const guideBlock = (port: number) => `
server {
    listen 127.0.0.1:${port} ssl http2;
    server_name old.delegated.url.com;
    location / {
        if ($request_method = 'OPTIONS') {
            add_header 'Access-Control-Allow-Origin' '*';
            add_header 'Access-Control-Allow-Methods' 'GET, POST, OPTIONS';
            add_header 'Access-Control-Allow-Headers' 'authorization,DNT,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range';
            add_header 'Access-Control-Max-Age' 1728000;
            add_header 'Content-Type' 'text/plain; charset=utf-8';
            add_header 'Content-Length' 0;
            return 204;
        }
        if ($request_method = 'POST') {
            add_header 'Access-Control-Allow-Origin' '*' always;
            add_header 'Access-Control-Allow-Methods' 'GET, POST, OPTIONS' always;
            add_header 'Access-Control-Allow-Headers' 'authorization,DNT,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range' always;
            add_header 'Access-Control-Expose-Headers' 'Content-Length,Content-Range' always;
        }
        if ($request_method = 'GET') {
            add_header 'Access-Control-Allow-Origin' '*' always;
            add_header 'Access-Control-Allow-Methods' 'GET, POST, OPTIONS' always;
            add_header 'Access-Control-Allow-Headers' 'authorization,DNT,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range' always;
            add_header 'Access-Control-Expose-Headers' 'Content-Length,Content-Range' always;
        }
        default_type application/json;
        return 401 '{"errcode":"M_UNKNOWN_TOKEN","error":"Server moved, please log in again."}';
    }
    ssl_session_timeout 1d;
    ssl_session_cache shared:MozSSL:10m;
    ssl_session_tickets off;
    ssl_protocols TLSv1.3;
    ssl_prefer_server_ciphers on;
    add_header Strict-Transport-Security "max-age=63072000" always;
    ssl_stapling on;
    ssl_stapling_verify on;
    ssl_certificate ${join(folder, "certificate.pem")};
    ssl_certificate_key ${join(folder, "key.pem")};
}
`;

test("each fault of the guide's own block that can be seen from outside is named", async () => {
  const port = await freePort();
  await using _ = await ProxyServer.start("nginx", guideBlock(port), port);
  assert.deepEqual(await faultsAt(`https://localhost:${port}`), {
    "soft-logout": "warning",
    versions: "warning",
    cors: "blocker",
    preflight: "blocker",
    federation: "warning",
    "well-known": "blocker",
    acme: "warning",
    "media-links": "warning",
    "large-body": "warning",
    "tls-1-2": "warning",
  });
});

test("an outage and a forwarded address are no sign-out", async () => {
  const down = await faultsOf("nginx", maintenanceBehaviour({ retryAfter: 60, message, untouched }));
  assert.equal(down["status"], "blocker");
  assert.equal(down["errcode"], "blocker");
  const forwarded = await faultsOf("nginx", forwardBehaviour({ to, untouched }));
  assert.equal(forwarded["status"], "blocker");
});

test("a soft sign-out without a way to sign in is a trap, and is named", async () => {
  const { rules, ...rest } = signOutBehaviour({ kind: "soft", to, message, untouched });
  const trap = { ...rest, rules: rules.filter(({ name }) => name !== "sign-in") };
  assert.deepEqual(await faultsOf("nginx", trap), { "sign-in": "blocker" });
});

test("what people write by hand is judged by what clients make of it", async () => {
  const port = await freePort();
  const judged = async (inside: string) => {
    await using _ = await ProxyServer.start("nginx", `server { listen 127.0.0.1:${port}; ${inside} }`, port);
    const { findings } = await testSignOut(
      { base: `http://127.0.0.1:${port}`, authorities: undefined, accepted: [] },
      { files: realFiles, http: realHttp, prober: realProber, signal: new AbortController().signal },
    );
    return new Map(findings.map((finding) => [finding.id, finding]));
  };
  const redirect = await judged("location / { return 301 http://new.example.org$request_uri; }");
  assert.equal(redirect.get("status")!.level, "blocker");
  assert.match(redirect.get("status")!.hint!, /a redirect signs nobody out.*synlift forward/);
  // Browsers take a star for every method and header, but not for the access token.
  const star = (headers: string) => `location / {
    default_type application/json;
    add_header Access-Control-Allow-Origin * always;
    add_header Access-Control-Allow-Methods * always;
    add_header Access-Control-Allow-Headers "${headers}" always;
    if ($request_method = OPTIONS) {
      add_header Access-Control-Allow-Origin * always;
      add_header Access-Control-Allow-Methods * always;
      add_header Access-Control-Allow-Headers "${headers}" always;
      return 204;
    }
    return 401 '{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}';
  }`;
  const all = (await judged(star("*"))).get("preflight")!;
  assert.equal(all.level, "blocker");
  assert.deepEqual(
    all.evidence,
    ["GET", "POST", "PUT", "DELETE"].map(
      (method) => `${method}: authorization is not among Access-Control-Allow-Headers`,
    ),
  );
  assert.equal((await judged(star("Authorization, *"))).get("preflight")!.level, "ok");
});

test("an address of IPv6 is asked like any other", async () => {
  const { key, cert } = authority.sign(["::1"]);
  const behaviour = signOutBehaviour({ kind: "hard", to, message, untouched });
  const listener = await realWebServers.listen({
    endpoints: [{ address: "::1", port: 0 }],
    tls: { certificate: cert, key },
    unreachable: UNREACHABLE,
    loop: LOOP,
    handle: (request) => replyTo(decide(request, behaviour), behaviour),
  });
  try {
    assert.deepEqual(await faultsAt(`https://[::1]:${listener.endpoints[0]!.port}`), {});
  } finally {
    await listener.stop(1_000);
  }
});

test("an answer of the wrong type, or with two, signs nobody out, and is named", async () => {
  const port = await freePort();
  const block = (inside: string) => `
server {
    listen 127.0.0.1:${port};
    location / {
        add_header Access-Control-Allow-Origin * always;
        ${inside}
        return 401 '{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}';
    }
}`;
  for (const [inside, fault] of [
    ["", "blocker"],
    ["add_header Content-Type application/json always;", "blocker"],
    ["default_type application/json;", undefined],
  ] as const) {
    await using _ = await ProxyServer.start("nginx", block(inside), port);
    const faults = await faultsAt(`http://127.0.0.1:${port}`);
    assert.equal(faults["content-type"], fault, inside);
    // OPTIONS gets 401, too.
    assert.equal(faults["preflight"], "blocker");
  }
});

test("an address that does not answer, or with a certificate that nobody trusts, signs nobody out", async () => {
  assert.deepEqual(await faultsAt(`https://localhost:${await freePort()}`), { "no-answer": "blocker" });
  const port = await freePort();
  await using _ = await ProxyServer.start("nginx", guideBlock(port), port);
  const { findings, failure } = await testSignOut(
    { base: `https://localhost:${port}`, authorities: undefined, accepted: [] },
    { files: realFiles, http: realHttp, prober: realProber, signal: new AbortController().signal },
  );
  assert.deepEqual(
    findings.map(({ id }) => id),
    ["no-answer"],
  );
  assert.equal(failure?.code, "found-blockers");
});
