import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect } from "node:http2";
import { connect as connectTo } from "node:net";
import { createServer as createSecureServer, request as requestSecure } from "node:https";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { SecureVersion } from "node:tls";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { decide, LOOP, replyTo, UNREACHABLE } from "../../src/old-address/respond.ts";
import type { Behaviour, Upstream } from "../../src/proxies/answer.ts";
import { PROXIES, type ProxyName } from "../../src/proxies/proxies.ts";
import { realWebServers, type WebListener } from "../../src/system/http/serve.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  FILE_SCENARIOS,
  PROXY_SCENARIOS,
  type ProxyScenario,
  scenarioBehaviour,
  type ScenarioPlaces,
} from "../support/proxy-scenarios.ts";
import { type KeyAndCertificate, TestAuthority } from "../support/test-authority.ts";

// One behaviour, written for each program, loaded by the program itself, and asked the same questions.

const HOST = "old.example.org";
let places: ScenarioPlaces;
const upstreams: AsyncDisposable[] = [];

before(async () => {
  const folder = temporaryFolder("proxy-files");
  for (const name of ["acme-challenge", "files"])
    mkdirSync(join(folder, "www/.well-known", name), { recursive: true });
  writeFileSync(join(folder, "www/.well-known/acme-challenge/token-1"), "token-1.key");
  writeFileSync(join(folder, "www/.well-known/files/client"), '{"in":"a file"}');
  writeFileSync(join(folder, "secret"), "secret");
  places = { first: await upstream("first"), second: await upstream("second"), folder: join(folder, "www") };
});

after(async () => {
  for (const one of upstreams) await one[Symbol.asyncDispose]();
});

for (const name of Object.keys(PROXIES) as ProxyName[]) {
  describe(`${name}, a complete site`, () => {
    const writer = PROXIES[name];
    let port = 0;
    let redirectPort = 0;
    let server: ProxyServer;

    before(async () => {
      port = await freePort();
      redirectPort = await freePort();
      const text = writer.site(
        scenarioBehaviour({ ...places, folder: writer.does.files ? places.folder : undefined }),
        {
          hosts: [HOST, "also.example.org"],
          listen: [{ address: "127.0.0.1", port }],
          tls: undefined,
          redirectFrom: { address: "127.0.0.1", port: redirectPort },
        },
        name === "nginx" ? [1, 22, 1] : undefined,
      );
      if (process.env["SHOW"]) console.log(text);
      server = await ProxyServer.start(name, text, port);
    });
    after(() => server[Symbol.asyncDispose]());

    for (const scenario of [...PROXY_SCENARIOS, ...(writer.does.files ? FILE_SCENARIOS : [])])
      test(scenario.title, async () => {
        assertAnswer(await ask(port, scenario), scenario);
        seen(writer.title, scenario.title);
      });

    hostileTest(writer.title, () => port);

    test("an unencrypted request is redirected, but a challenge is not", async () => {
      const moved = await ask(redirectPort, { method: "GET", path: "/api/x?y=%2F" });
      assert.equal(moved.status, 301);
      assert.equal(moved.headers["location"], `https://${HOST}:${port}/api/x?y=%2F`);
      const challenge = await ask(redirectPort, {
        method: "GET",
        path: "/.well-known/acme-challenge/token-1",
      });
      assert.equal(challenge.text, writer.does.files ? "token-1.key" : "");
      seen(writer.title, "HTTP is redirected to HTTPS, but certificate challenges are not");
    });
  });
}

for (const name of Object.keys(PROXIES) as ProxyName[]) {
  describe(`${name}, a snippet in a site that exists`, () => {
    let port = 0;
    let server: ProxyServer;
    before(async () => {
      port = await freePort();
      const snippet = PROXIES[name].snippet(
        scenarioBehaviour({ ...places, folder: undefined }),
        "test-rules",
      );
      server = await ProxyServer.start(name, siteAround(name, snippet, port), port);
    });
    after(() => server[Symbol.asyncDispose]());

    for (const scenario of PROXY_SCENARIOS.filter(({ path }) => /^\/(api|\.well-known\/thing)\//.test(path)))
      if (scenario.expected.kind !== "answered" || scenario.expected.status !== 404)
        test(scenario.title, async () => {
          assertAnswer(await ask(port, scenario), scenario);
        });

    test("the rest of the site stays as it is", async () => {
      const { status, headers } = await ask(port, { method: "GET", path: "/mine" });
      assert.deepEqual([status, headers["location"]], [307, "https://site.example.org/"]);
    });
  });

  describe(`${name}, encrypted`, () => {
    const authority = new TestAuthority();
    const folder = temporaryFolder("proxy-tls");
    let port = 0;
    let server: ProxyServer;
    before(async () => {
      port = await freePort();
      const { key, cert } = authority.sign([HOST]);
      // HAProxy wants both in one file, and takes the key from it.
      writeFileSync(join(folder, "certificate.pem"), `${cert}${name === "haproxy" ? key : ""}`);
      writeFileSync(join(folder, "key.pem"), key, { mode: 0o600 });
      writeFileSync(join(folder, "authorities.pem"), authority.pem);
      const to = {
        origin: await upstream("secure", authority.sign(["localhost"])),
        authorities: join(folder, "authorities.pem"),
      };
      const foreign = {
        origin: await upstream("foreign", new TestAuthority().sign(["localhost"])),
        authorities: join(folder, "authorities.pem"),
      };
      const text = PROXIES[name].site(
        encryptedBehaviour(to, foreign),
        {
          hosts: [HOST],
          listen: [{ address: "127.0.0.1", port }],
          tls: { certificate: join(folder, "certificate.pem"), key: join(folder, "key.pem") },
        },
        name === "nginx" ? [1, 22, 1] : undefined,
      );
      server = await ProxyServer.start(name, text, port);
    });
    after(() => server[Symbol.asyncDispose]());

    encryptedTests(
      PROXIES[name].title,
      () => port,
      () => authority.pem,
    );
  });
}

function encryptedTests(title: string, port: () => number, authority: () => string): void {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    test(`${version} and HTTP/1.1 get the answer`, async () => {
      const heard = await ask(port(), { method: "PUT", path: "/x" }, { ca: authority(), version });
      assert.deepEqual([heard.status, heard.text], [401, '{"errcode":"GONE"}']);
      seen(title, `${version} and HTTP/1.1`);
    });

  test("HTTP/2 gets the answer", async () => {
    const session = connect(`https://${HOST}:${port()}`, {
      ca: authority(),
      lookup: (_name, _options, found) => {
        found(null, [{ address: "127.0.0.1", family: 4 }]);
      },
    });
    try {
      const stream = session.request({ ":path": "/x", ":method": "DELETE" });
      let status = 0;
      stream.on("response", (headers) => (status = headers[":status"] ?? 0));
      const body = (await stream.toArray()) as Buffer[];
      assert.deepEqual([status, Buffer.concat(body).toString()], [401, '{"errcode":"GONE"}']);
      seen(title, "HTTP/2");
    } finally {
      session.destroy();
    }
  });

  test("the upstream's certificate is checked, and its name is asked for", async () => {
    const heard = await ask(port(), { method: "GET", path: "/trusted/%2Fa" }, { ca: authority() });
    assert.equal(heard.status, 207, heard.text);
    assert.match(heard.text, /"name":"secure".*"path":"\/trusted\/%2Fa".*"host":"localhost:\d+"/);
    const refused = await ask(port(), { method: "GET", path: "/foreign/a" }, { ca: authority() });
    assert.ok([500, 502, 503].includes(refused.status), `${refused.status} ${refused.text}`);
    seen(title, "the new server's certificate is checked");
  });
}

/** Sends bytes, and resolves to what comes back until the connection ends, an answer is complete, or it is quiet for long. */
function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connectTo(port, "127.0.0.1", () => socket.write(text, "latin1"));
    socket.setTimeout(10_000, () => socket.destroy());
    socket.setEncoding("latin1").on("data", (piece: string) => {
      got += piece;
      if (got.includes("\r\n\r\n")) socket.destroy();
    });
    socket
      .on("error", () => undefined)
      .on("close", () => {
        resolve(got);
      });
  });
}

/** A path that no upstream is asked for. */
const HIDDEN = `GET /api/hidden HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
const head = (line: string, ...more: string[]) => [`${line} HTTP/1.1`, `Host: ${HOST}`, ...more].join("\r\n");
/** Requests that no client sends, each with the statuses that are right; 0 is a connection that is closed without an answer. Caddy answers 200 for hosts of which it has no site. */
const HOSTILE: readonly (readonly [string, string, readonly number[]])[] = [
  ["two slashes", `${head("GET //api//client/v3/sync")}\r\n\r\n`, [401, 404, 400]],
  ["dots above the root", `${head("GET /api/../../../../etc/passwd")}\r\n\r\n`, [400, 401, 404]],
  ["dots as escapes", `${head("GET /.well-known/files/%2e%2e/%2e%2e/%2e%2e/secret")}\r\n\r\n`, [400, 404]],
  ["an absolute target", `${head(`GET http://${HOST}/api/client/v3/sync`)}\r\n\r\n`, [401]],
  [
    "an absolute target elsewhere",
    `${head("GET http://evil.example/api/x")}\r\n\r\n`,
    [200, 400, 401, 404, 421],
  ],
  [
    "a tunnel",
    "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    [0, 200, 400, 403, 404, 405, 421],
  ],
  [
    "ten thousand headers",
    `${head("GET /api/x", ...Array.from({ length: 10_000 }, (_, index) => `X-${index}: a`))}\r\n\r\n`,
    [0, 400, 401, 431],
  ],
  [
    "a header of a mebibyte",
    `${head("GET /api/x", `X-A: ${"a".repeat(1024 * 1024)}`)}\r\n\r\n`,
    [0, 400, 401, 431],
  ],
  [
    "a length and chunks",
    `${head("POST /api/client/v3/sign-in", "Content-Length: 4", "Transfer-Encoding: chunked")}\r\n\r\n0\r\n\r\n${HIDDEN}`,
    [0, 207, 400],
  ],
  ["two lengths", `${head("POST /api/x", "Content-Length: 4", "Content-Length: 5")}\r\n\r\nabcde`, [0, 400]],
  ["a length that is none", `${head("POST /api/x", "Content-Length: 4x")}\r\n\r\nabcd`, [0, 400]],
  [
    "chunks that are none",
    `${head("POST /api/client/v3/sign-in", "Transfer-Encoding: x, y")}\r\n\r\n`,
    [0, 400, 401, 501],
  ],
  [
    "a length that the connection is told to forget",
    `${head("POST /api/client/v3/sign-in", "Connection: content-length", `Content-Length: ${HIDDEN.length}`)}\r\n\r\n${HIDDEN}`,
    [207, 400],
  ],
  ["a space before the colon", `${head("GET /api/x", "X-A : b")}\r\n\r\n`, [0, 400, 401]],
  [
    "an endless body that waits for leave",
    `${head("POST /api/x", "Content-Length: 99999999999", "Expect: 100-continue")}\r\n\r\n`,
    [100, 401, 413],
  ],
];

function hostileTest(title: string, port: () => number): void {
  test("hostile requests are refused or answered, and nothing hidden in them reaches another server", async () => {
    const before = hidden.length;
    // One that begins and never goes on holds nobody else up.
    const slow = connectTo(port(), "127.0.0.1", () =>
      slow.write(`${head("POST /api/x", "Content-Length: 9")}\r\n`),
    );
    slow.on("error", () => undefined);
    for (const [what, text, statuses] of HOSTILE) {
      const answered = await sendRaw(port(), text);
      const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(answered)?.[1] ?? 0);
      assert.ok(statuses.includes(status), `${what}: ${status} ${answered.slice(0, 300)}`);
      assert.ok(!answered.includes("root:") && !answered.includes("\r\nsecret"), what);
      const next = await ask(port(), { method: "GET", path: "/api/client/v3/sync" });
      assert.equal(next.status, 401, `after ${what}`);
    }
    slow.destroy();
    assert.deepEqual(hidden.slice(before), []);
    seen(title, "hostile requests are refused or answered, and nothing hidden in them goes on");
  });
}

/** What an administrator has already, with an answer of its own. */
function siteAround(name: ProxyName, snippet: string, port: number): string {
  const [rules, ...backends] = snippet.split(/^(?=backend )/m);
  switch (name) {
    case "nginx":
      return `server { listen 127.0.0.1:${port}; server_name ${HOST};
${snippet}
location / { return 307 https://site.example.org/; } location ~ /\\. { deny all; } }`;
    case "caddy":
      return `http://${HOST}:${port} {
bind 127.0.0.1
${snippet}
handle {
redir https://site.example.org/ 307
}
}`;
    case "apache":
      return `Listen 127.0.0.1:${port}
<VirtualHost 127.0.0.1:${port}>
ServerName ${HOST}
${snippet}
RewriteRule ^ https://site.example.org/ [R=307,L]
</VirtualHost>`;
    case "haproxy":
      return `frontend site
bind 127.0.0.1:${port}
${rules!}
http-request redirect code 307 location https://site.example.org/ if { path /mine }
${backends.join("")}`;
  }
}

describe("synlift itself", () => {
  let listener: WebListener;
  before(async () => {
    listener = await serving(undefined, scenarioBehaviour(places));
  });
  after(() => listener.stop(1_000));

  for (const scenario of [...PROXY_SCENARIOS, ...FILE_SCENARIOS])
    test(scenario.title, async () => {
      assertAnswer(await ask(listener.endpoints[0]!.port, scenario), scenario);
      seen("synlift", scenario.title);
    });
  hostileTest("synlift", () => listener.endpoints[0]!.port);
});

describe("synlift itself, encrypted", () => {
  const authority = new TestAuthority();
  const { key, cert } = authority.sign([HOST]);
  let listener: WebListener;
  before(async () => {
    const to = { origin: await upstream("secure", authority.sign(["localhost"])), authorities: "ours" };
    const foreign = {
      origin: await upstream("foreign", new TestAuthority().sign(["localhost"])),
      authorities: "ours",
    };
    listener = await serving({ certificate: cert, key }, encryptedBehaviour(to, foreign), authority.pem);
  });
  after(() => listener.stop(1_000));
  encryptedTests(
    "synlift",
    () => listener.endpoints[0]!.port,
    () => authority.pem,
  );
});

const serving = (
  tls: { certificate: string; key: string } | undefined,
  behaviour: Behaviour,
  pem = "",
): Promise<WebListener> =>
  realWebServers.listen({
    endpoints: [{ address: "127.0.0.1", port: 0 }],
    tls,
    unreachable: UNREACHABLE,
    loop: LOOP,
    handle: (asked) => replyTo(decide(asked, behaviour), behaviour, new Map([["ours", pem]])),
  });

const encryptedBehaviour = (to: Upstream, foreign: Upstream): Behaviour => ({
  rules: [
    { name: "trusted", why: [], paths: ["/trusted/**"], then: { kind: "forward", to } },
    { name: "foreign", why: [], paths: ["/foreign/**"], then: { kind: "forward", to: foreign } },
  ],
  otherwise: { kind: "answer", status: 401, headers: {}, body: '{"errcode":"GONE"}' },
});

interface Heard {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
  readonly text: string;
}

type Asked = Parameters<typeof askOnce>;

/**
 * A server that answers before it has read a large body, and closes then, may reset the connection before its answer is
 * read here (RFC 9112, section 9.6): such a request is sent again, as a client would.
 */
async function ask(...asked: Asked): Promise<Heard> {
  for (let left = 4; ; left -= 1) {
    try {
      return await askOnce(...asked);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (left === 0 || asked[1].bodyBytes === undefined || !["EPIPE", "ECONNRESET"].includes(code))
        throw error;
    }
  }
}

function askOnce(
  port: number,
  { method, path, headers = {}, bodyBytes }: Pick<ProxyScenario, "method" | "path" | "headers" | "bodyBytes">,
  tls?: { readonly ca: string; readonly version?: SecureVersion },
): Promise<Heard> {
  return new Promise((resolve, reject) => {
    let answered = false;
    const length = bodyBytes === undefined ? {} : { "Content-Length": `${bodyBytes}` };
    const sent = (tls ? requestSecure : request)(
      {
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        headers: { Host: HOST, ...headers, ...length },
        ...(tls ? { ca: tls.ca, servername: HOST, checkServerIdentity: () => undefined } : {}),
        ...(tls?.version === undefined ? {} : { minVersion: tls.version, maxVersion: tls.version }),
      },
      (response) => {
        answered = true;
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("error", reject).on("end", () => {
          const { statusCode = 0, headers: got, rawHeaders } = response;
          resolve({ status: statusCode, headers: got, rawHeaders, text });
        });
      },
    );
    // A server may answer before it has read a large body, and close then.
    sent.on("error", (error) => {
      if (!answered) reject(error);
    });
    sent.end(bodyBytes === undefined ? undefined : Buffer.alloc(bodyBytes, "x"));
  });
}

function assertAnswer(heard: Heard, { method, path, bodyBytes, expected }: ProxyScenario): void {
  switch (expected.kind) {
    case "answered": {
      assert.equal(heard.status, expected.status, heard.text);
      for (const [name, value] of Object.entries(expected.headers))
        assert.deepEqual(all(heard, name), [value], `${name}: ${heard.rawHeaders.join(" ")}`);
      if (!("Access-Control-Allow-Origin" in expected.headers))
        assert.deepEqual(all(heard, "Access-Control-Allow-Origin"), []);
      if (expected.json === undefined) assert.equal(heard.text, "");
      else {
        assert.deepEqual(all(heard, "Content-Type"), ["application/json"]);
        assert.deepEqual(JSON.parse(heard.text), expected.json);
      }
      return;
    }
    case "forwarded": {
      assert.equal(heard.status, 207, heard.text);
      const { name, ...got } = JSON.parse(heard.text) as Record<string, unknown>;
      assert.equal(name, expected.to);
      assert.deepEqual(got, {
        method,
        path,
        bytes: bodyBytes ?? 0,
        host: new URL(expected.to === "first" ? places.first : places.second).host,
        client: "127.0.0.1",
      });
      assert.deepEqual(all(heard, "X-Upstream"), ["yes"]);
      assert.deepEqual(all(heard, "Access-Control-Allow-Origin"), ["https://upstream.example.org"]);
      return;
    }
    case "file": {
      assert.deepEqual([heard.status, heard.text], [200, expected.text]);
      if (expected.type !== undefined) assert.deepEqual(all(heard, "Content-Type"), [expected.type]);
      return;
    }
    case "redirected":
      assert.equal(heard.status, 302, heard.text);
      assert.deepEqual(all(heard, "Location"), [expected.location]);
      return;
    case "missing":
      assert.ok([400, 404].includes(heard.status), `${heard.status} ${heard.text}`);
  }
}

/** Every value of a header: a browser refuses two. */
const all = ({ rawHeaders }: Heard, wanted: string): string[] =>
  rawHeaders.flatMap((name, index) =>
    index % 2 === 0 && name.toLowerCase() === wanted.toLowerCase() ? [rawHeaders[index + 1]!] : [],
  );

/** Requests that came to an upstream although they were the body of another. */
const hidden: string[] = [];

/** Answers with what it got. */
async function upstream(name: string, certificate?: KeyAndCertificate): Promise<string> {
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    let bytes = 0;
    incoming.on("data", (piece: Buffer) => (bytes += piece.length));
    incoming.on("end", () => {
      const { method, url: path, headers } = incoming;
      if (path?.includes("hidden")) hidden.push(path);
      const got = { name, method, path, bytes, host: headers.host, client: headers["x-forwarded-for"] };
      outgoing
        .writeHead(207, {
          "Content-Type": "application/json",
          "X-Upstream": "yes",
          "Access-Control-Allow-Origin": "https://upstream.example.org",
        })
        .end(JSON.stringify(got));
    });
  };
  const server = certificate ? createSecureServer(certificate, handle) : createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  upstreams.push({
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  });
  const { port } = server.address() as { port: number };
  return certificate ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
}

/** Which program was seen to do what: the table of support in the docs. */
const support = new Map<string, Set<string>>();

function seen(title: string, what: string): void {
  const programs = support.get(what) ?? new Set();
  support.set(what, programs.add(title));
}

const PAGE = fileURLToPath(new URL("../../docs/old-address.md", import.meta.url));
const [BEGIN, END] = [
  "<!-- Written by test/e2e/proxies.test.ts (GOLDEN=write): begin -->",
  "<!-- Written by test/e2e/proxies.test.ts: end -->",
];

test("the table of support in the docs is what was seen", async () => {
  const titles = [...Object.values(PROXIES).map(({ title }) => title), "synlift"];
  const table = [
    `| what | ${titles.join(" | ")} |`,
    `| --- | ${titles.map(() => "---").join(" | ")} |`,
    ...[...support].map(
      ([what, programs]) =>
        `| ${what} | ${titles.map((title) => (programs.has(title) ? "yes" : "–")).join(" | ")} |`,
    ),
  ].join("\n");
  const page = readFileSync(PAGE, "utf8");
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  assert.ok(before !== undefined && after !== undefined, "the page has a place for the table");
  const options = await resolveConfig(PAGE);
  const wanted = await format(`${before}${BEGIN}\n\n${table}\n\n${END}${after}`, {
    ...options,
    parser: "markdown",
  });
  if (process.env["GOLDEN"] === "write") writeFileSync(PAGE, wanted);
  else assert.equal(page, wanted);
});
