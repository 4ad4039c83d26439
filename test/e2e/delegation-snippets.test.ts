import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkDelegation } from "../../src/delegation/check/run.ts";
import { type Expected, NOTHING_EXPECTED } from "../../src/delegation/check/expected.ts";
import { carryFiles } from "../../src/delegation/files/carry.ts";
import { wellKnownSnippets } from "../../src/delegation/files/snippets.ts";
import { parseKeyFile } from "../../src/homeserver/signing-key/key-file.ts";
import { PROXIES, type ProxyName } from "../../src/proxies/proxies.ts";
import { realDns } from "../../src/system/dns/dns.ts";
import { httpOver } from "../../src/system/http/http.ts";
import { noProgress } from "../../src/system/progress.ts";
import { type DnsServerInTest, startDnsServer } from "../support/dns-server.ts";
import { makeHomeserverFolder } from "../support/lab/homeserver-folder.ts";
import { register } from "../support/lab/matrix-client.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { SynapseServer } from "../support/lab/synapse-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { TestAuthority } from "../support/test-authority.ts";

// The generated snippets in sites of real web servers, before a real Synapse, and checked as a person would check them.

const authority = new TestAuthority();
const tls = temporaryFolder("delegation-tls");
let dns: DnsServerInTest;
let synapse: SynapseServer;
let expected: Expected;
let snippets: ReturnType<typeof wellKnownSnippets>;
const password = "pw-of-alice";

const BEFORE = {
  "m.homeserver": { base_url: "https://old.example.org" },
  "org.matrix.msc4143.rtc_foci": [{ type: "livekit", livekit_service_url: "https://rtc.example.org/sfu" }],
  "io.element.e2ee": { default: true },
  "cc.etke.ketesa": { restrictBaseUrl: "https://example.org/$x?a=1&b='ü'" },
};

before(async () => {
  const { key, cert } = authority.sign(["example.org", "*.example.org"]);
  writeFileSync(join(tls, "certificate.pem"), cert);
  writeFileSync(join(tls, "key.pem"), key);
  writeFileSync(join(tls, "both.pem"), `${cert}${key}`);
  dns = await startDnsServer({
    zones: { "example.org": ["example.org 300 A 127.0.0.1", "matrix.example.org 300 A 127.0.0.1"] },
  });
  const home = await makeHomeserverFolder({
    serverName: "example.org",
    settings: { public_baseurl: "https://matrix.example.org/" },
  });
  synapse = new SynapseServer({ configFiles: [home.configFile], folder: home.dataFolder });
  await synapse.start();
  await register(synapse.baseUrl, home.registrationSharedSecret, { name: "alice", password, admin: false });
  const { files } = carryFiles(
    [
      { path: "matrix/client", text: JSON.stringify(BEFORE) },
      { path: "matrix/server", text: undefined },
      { path: "matrix/support", text: '{"support_page": "https://example.org/help"}' },
      { path: "element/element.json", text: '{"enforce_element_pro": false}' },
    ],
    { clientUrl: "https://matrix.example.org", federation: "matrix.example.org:443", leaving: [] },
  );
  snippets = wellKnownSnippets(files, { host: "example.org", answersFrom: "http://127.0.0.1:8081" });
  expected = {
    ...NOTHING_EXPECTED,
    clientUrl: "https://matrix.example.org",
    federation: "matrix.example.org:443",
    keys: parseKeyFile(readFileSync(home.signingKeyPath, "utf8")).keys,
    addresses: ["127.0.0.1"],
    files: Object.fromEntries(files.map(({ path, after: text }) => [path, JSON.parse(text) as unknown])),
  };
});

after(async () => {
  await synapse.stop();
  await dns[Symbol.asyncDispose]();
});

for (const name of Object.keys(PROXIES) as ProxyName[]) {
  describe(name, () => {
    test("its snippet is loaded by the program, and then every check passes at every address", async () => {
      const port = await freePort();
      const snippet = snippets.find((one) =>
        one.name.includes(name === "caddy" ? "caddy" : `.${name}.`),
      )!.text;
      await using server = await ProxyServer.start(name, siteWith(name, snippet, port), port);
      const { results } = await checkDelegation(
        {
          serverName: "example.org",
          expected,
          at: [],
          resolvers: [],
          notaries: [],
          login: { user: "alice", password },
          privateHosts: [],
          timeout: 30_000,
          timeLimit: 300_000,
        },
        {
          dns: realDns({ resolvers: [dns], port: dns.port, timeout: 5_000 }),
          http: httpOver({ authorities: [authority.pem], portFor: () => port }),
          machine: {
            now: () => Date.now(),
            elapsed: () => 0,
            wait: () => Promise.reject(new Error("not watched")),
          },
          signal: new AbortController().signal,
        },
        noProgress,
      );
      const wrong = results.filter(({ level }) => level !== "ok");
      assert.deepEqual(wrong, [], server.output);
      const checks = new Set(results.map(({ check }) => check));
      for (const check of [
        "signature",
        "version",
        "cors",
        "login",
        "well-known-others",
        "certificate",
      ] as const)
        assert.ok(checks.has(check), check);
    });
  });
}

/** The site of an administrator, which passes everything else on to Synapse. */
function siteWith(name: ProxyName, snippet: string, port: number): string {
  const to = synapse.baseUrl;
  const [rules, ...backends] = snippet.split(/^(?=backend )/m);
  switch (name) {
    case "nginx":
      return `server { listen 127.0.0.1:${port} ssl; server_name example.org matrix.example.org;
ssl_certificate ${tls}/certificate.pem; ssl_certificate_key ${tls}/key.pem;
${snippet}
location / { proxy_pass ${to}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https; } }`;
    case "caddy":
      return `https://example.org:${port}, https://matrix.example.org:${port} {
bind 127.0.0.1
tls ${tls}/certificate.pem ${tls}/key.pem
${snippet}
handle {
reverse_proxy ${to}
}
}`;
    case "apache":
      return `Listen 127.0.0.1:${port}
<VirtualHost 127.0.0.1:${port}>
ServerName example.org
ServerAlias matrix.example.org
SSLEngine on
SSLCertificateFile ${tls}/certificate.pem
SSLCertificateKeyFile ${tls}/key.pem
${snippet}
RequestHeader set X-Forwarded-Proto https
AllowEncodedSlashes NoDecode
ProxyPreserveHost on
ProxyPass / ${to}/ nocanon
</VirtualHost>`;
    case "haproxy":
      return `frontend site
bind 127.0.0.1:${port} ssl crt ${tls}/both.pem
${rules!}
default_backend synapse
backend synapse
http-request set-header X-Forwarded-Proto https
server one ${to.replace("http://", "")}
${backends.join("")}`;
  }
}
