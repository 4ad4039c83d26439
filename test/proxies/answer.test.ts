import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { actionFor, type Behaviour, pathsSource, plainJson, type Site } from "../../src/proxies/answer.ts";
import { PROXIES, type ProxyName } from "../../src/proxies/proxies.ts";
import { traefikWith } from "../../src/proxies/traefik.ts";
import { MigrationError } from "../../src/errors.ts";
import { PROXY_SCENARIOS, scenarioBehaviour } from "../support/proxy-scenarios.ts";

const PLACES = { first: "https://first.example.org", second: "http://second:8008", folder: "/srv/www" };
const SITE: Site = { hosts: ["old.example.org"], listen: [{ port: 443 }], tls: undefined };
const behaviour = scenarioBehaviour(PLACES);

test("a body has the same meaning in its plain form, and nothing that a configuration file could misread", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
      const plain = plainJson(JSON.stringify(value, undefined, 2));
      assert.deepEqual(JSON.parse(plain), JSON.parse(JSON.stringify(value)));
      assert.doesNotMatch(plain, /[^\x20-\x7e]|[$'`%#<>]|\\(?!u[0-9a-f]{4})/);
    }),
  );
});

test("a pattern is a path, one variable segment, or all below; dots are dots", () => {
  const matches = (pattern: string, path: string) => new RegExp(pathsSource([pattern])).test(path);
  assert.ok(matches("/a.b", "/a.b"));
  assert.ok(!matches("/a.b", "/axb"));
  assert.ok(matches("/a/*/c", "/a/b/c"));
  assert.ok(!matches("/a/*/c", "/a/b/b/c"));
  assert.ok(matches("/a/**", "/a/b/c"));
  assert.ok(!matches("/a/**", "/a/"));
  assert.ok(!matches("/a/**", "/b/a/b"));
});

test("the value itself decides as the scenarios say", () => {
  for (const { title, method, path, expected } of PROXY_SCENARIOS) {
    const decoded = decodeURIComponent(path.split("?")[0]!);
    const action = actionFor(behaviour, { path: decoded, method });
    if (expected.kind === "answered")
      assert.equal(action.kind === "answer" && action.status, expected.status, title);
    else if (expected.kind === "redirected") assert.equal(action.kind, "redirect", title);
    else if (expected.kind === "forwarded")
      assert.equal(action.kind === "forward" && action.to.origin, PLACES[expected.to], title);
  }
});

const hostile: readonly (readonly [string, Partial<Site>, Partial<typeof PLACES>])[] = [
  ["a host name with a line break", { hosts: ["old.example.org\nserver"] }, {}],
  ["a host name with a semicolon", { hosts: ["old;example"] }, {}],
  ["a certificate with a variable in its path", { tls: { certificate: "/etc/$host.pem", key: "/k" } }, {}],
  ["a key with a space in its path", { tls: { certificate: "/etc/c.pem", key: "/etc/my key.pem" } }, {}],
  ["an upstream with a path", {}, { first: "https://new.example.org/matrix" }],
  ["an upstream with a password", {}, { first: "https://user:secret@new.example.org" }],
  ["an upstream that is no URL", {}, { first: "new.example.org; evil" }],
  ["an address that is none", { listen: [{ address: "localhost; evil", port: 1 }] }, {}],
  ["a folder with a quote", {}, { folder: '/srv/"www' }],
];

for (const name of Object.keys(PROXIES) as ProxyName[]) {
  const writer = PROXIES[name];
  for (const [what, site, places] of hostile) {
    if (places.folder !== undefined && !writer.does.files) continue;
    test(`${name}: ${what} is refused, because the file would mean something else`, () => {
      const value = scenarioBehaviour({
        ...PLACES,
        ...places,
        folder: writer.does.files ? (places.folder ?? PLACES.folder) : undefined,
      });
      assert.throws(
        () => writer.site(value, { ...SITE, ...site }, undefined),
        (error) => error instanceof MigrationError && error.code === "bad-usage",
      );
    });
  }
}

test("files are refused where a program serves none, and certificates where it obtains none", () => {
  assert.throws(() => PROXIES.haproxy.site(behaviour, SITE, undefined), /HAProxy cannot serve files/);
  assert.throws(
    () => PROXIES.nginx.site(behaviour, { ...SITE, tls: "automatic" }, undefined),
    /nginx does not obtain certificates/,
  );
  assert.match(
    PROXIES.caddy.site(behaviour, { ...SITE, tls: "automatic" }, undefined),
    /^old\.example\.org \{/,
  );
});

test("HTTP/2 is switched on as the installed nginx understands it", () => {
  const tls = { certificate: "/etc/c.pem", key: "/etc/k.pem" };
  const written = (version: readonly number[] | undefined) =>
    PROXIES.nginx.site(behaviour, { ...SITE, tls }, version);
  assert.match(written([1, 22, 1]), /listen 443 ssl http2;/);
  assert.match(written([1, 25, 0]), /listen 443 ssl http2;/);
  assert.match(written([1, 25, 1]), /listen 443 ssl;[^]*http2 on;/);
  assert.match(written([1, 30]), /http2 on;/);
  assert.match(written([2]), /http2 on;/);
  assert.match(written(undefined), /listen 443 ssl http2;/);
});

test("a rule that is broken by the program itself is never written", () => {
  const wrong = (rules: Behaviour["rules"]) => () =>
    PROXIES.nginx.site({ rules, otherwise: { kind: "answer", status: 404, headers: {} } }, SITE, undefined);
  const then = { kind: "answer", status: 200, headers: {} } as const;
  assert.throws(wrong([{ name: "a", why: [], paths: ["/a b"], then }]), TypeError);
  assert.throws(wrong([{ name: "a", why: [], paths: ["/a/**/b"], then }]), TypeError);
  assert.throws(wrong([{ name: "a", why: ["one\ntwo"], paths: ["/a"], then }]), TypeError);
  assert.throws(
    wrong([{ name: "a", why: [], paths: ["/a"], then: { ...then, body: "not JSON" } }]),
    SyntaxError,
  );
  assert.throws(
    wrong([{ name: "a", why: [], paths: ["/a"], then: { ...then, headers: { "X-A": 'a"; evil' } } }]),
    TypeError,
  );
  assert.throws(
    wrong([
      { name: "a", why: [], paths: ["/a"], then },
      { name: "a", why: [], paths: ["/b"], then },
    ]),
    TypeError,
  );
});

test("Traefik is told for every router what obtains the certificate", () => {
  const tlsOf = (certificateResolver?: string) => {
    const site = { ...SITE, tls: "automatic" as const, certificateResolver };
    const { http } = parse(traefikWith("http://127.0.0.1:8089").site(behaviour, site, undefined)) as {
      http: { routers: Record<string, { tls: object }> };
    };
    return Object.values(http.routers).map(({ tls }) => tls);
  };
  const all = behaviour.rules.length + 1;
  assert.deepEqual(tlsOf("le.http-1"), Array(all).fill({ certResolver: "le.http-1" }));
  assert.deepEqual(tlsOf(), Array(all).fill({}));
});

test("Traefik gets routers in the order of the rules, and sends to the answering service what it cannot answer", () => {
  const answering = "http://127.0.0.1:8089";
  const text = traefikWith(answering).site(behaviour, { ...SITE, tls: "automatic" }, undefined);
  const { http } = parse(text) as {
    http: {
      routers: Record<string, { rule: string; priority: number; service: string; tls: object }>;
      services: Record<string, { loadBalancer: { passHostHeader: boolean; servers: { url: string }[] } }>;
    };
  };
  const routers = Object.entries(http.routers);
  assert.deepEqual(
    routers.map(([name]) => name.replace("old-example-org-", "")),
    [...behaviour.rules.map(({ name }) => name), "otherwise"],
  );
  const priorities = routers.map(([, { priority }]) => priority);
  assert.deepEqual(
    priorities,
    priorities.toSorted((a, b) => b - a),
  );
  const goesTo = (name: string) =>
    http.services[http.routers[`old-example-org-${name}`]!.service]!.loadBalancer;
  assert.deepEqual(goesTo("sign-in"), {
    passHostHeader: false,
    serversTransport: http.routers["old-example-org-sign-in"]!.service,
    servers: [{ url: PLACES.first }],
  });
  assert.deepEqual(goesTo("api"), { passHostHeader: true, servers: [{ url: answering }] });
  assert.deepEqual(goesTo("other-server"), { passHostHeader: true, servers: [{ url: answering }] });
  assert.match(
    http.routers["old-example-org-sign-in"]!.rule,
    /PathRegexp\(`\^\/api\/client\/\[\^\/\]\+\/sign-in\$`\)/,
  );
  assert.match(
    http.routers["old-example-org-api"]!.rule,
    /^\(Host\(`old\.example\.org`\)\) && \(PathPrefix\(`\/api\/`\)\)$/,
  );
});
