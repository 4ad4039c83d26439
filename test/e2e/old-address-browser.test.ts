import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { createClient, HttpApiEvent, type MatrixError } from "matrix-js-sdk";
import { forwardBehaviour } from "../../src/old-address/forward.ts";
import { maintenanceBehaviour } from "../../src/old-address/maintenance.ts";
import { decide, LOOP, replyTo, UNREACHABLE } from "../../src/old-address/respond.ts";
import { signOutBehaviour } from "../../src/old-address/sign-out.ts";
import type { Behaviour } from "../../src/proxies/answer.ts";
import { PROXIES, type ProxyName } from "../../src/proxies/proxies.ts";
import { realWebServers } from "../../src/system/http/serve.ts";
import { RealBrowser, type Visit } from "../support/browser.ts";
import { ProxyServer } from "../support/lab/proxy-server.ts";
import { freePort } from "../support/lab/server-process.ts";
import { startWeb, type WebServer } from "../support/web-server.ts";

// What a page of another origin, in a real Chromium, and a real Matrix client see of each answer.

const HOST = "127.0.0.1";
const untouched = { kind: "nothing" } as const;
let browser: RealBrowser;
let page: Visit;
let pages: WebServer;
let to: { readonly origin: string };

/** The new homeserver, as far as web clients are concerned: CORS on everything. */
const newServer = createServer((request, response) => {
  const cors = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
  };
  response.writeHead(200, { ...cors, "Content-Type": "application/json" });
  request
    .resume()
    .on("end", () => response.end(JSON.stringify({ method: request.method, versions: ["v1.11"] })));
});

before(async () => {
  await new Promise<void>((resolve) => newServer.listen(0, "127.0.0.1", resolve));
  to = { origin: `http://127.0.0.1:${(newServer.address() as { port: number }).port}` };
  pages = await startWeb({
    answer: () => ({ headers: { "content-type": "text/html" }, body: "<p>an app</p>" }),
  });
  browser = await RealBrowser.open();
  page = await browser.visitAt(`http://127.0.0.1:${pages.port}/`);
});

after(async () => {
  await browser[Symbol.asyncDispose]();
  await pages[Symbol.asyncDispose]();
  newServer.close();
  newServer.closeAllConnections();
});

/** Runs a behaviour in a program, or in synlift itself, while `use` asks it. */
async function running(
  name: ProxyName | "synlift",
  behaviour: Behaviour,
  use: (base: string) => Promise<void>,
): Promise<void> {
  if (name === "synlift") {
    const listener = await realWebServers.listen({
      endpoints: [{ address: "127.0.0.1", port: 0 }],
      tls: undefined,
      unreachable: UNREACHABLE,
      loop: LOOP,
      handle: (request) => replyTo(decide(request, behaviour), behaviour),
    });
    try {
      await use(`http://127.0.0.1:${listener.endpoints[0]!.port}`);
    } finally {
      await listener.stop(1_000);
    }
    return;
  }
  const port = await freePort();
  const site = { hosts: [HOST] as const, listen: [{ address: "127.0.0.1", port }], tls: undefined };
  await using _ = await ProxyServer.start(name, PROXIES[name].site(behaviour, site, [1, 22, 1]), port);
  await use(`http://127.0.0.1:${port}`);
}

const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD"] as const;

/** What the page gets for each method: the status and the JSON, or that the browser let it see nothing. */
async function seenByPage(base: string): Promise<readonly (readonly [string, number | string, unknown])[]> {
  const script = `Promise.all(${JSON.stringify(METHODS)}.map(async (method) => {
    try {
      const body = ["GET", "HEAD"].includes(method) ? undefined : "{}";
      const headers = { Authorization: "Bearer x", ...(body ? { "Content-Type": "application/json" } : {}) };
      const answer = await fetch(${JSON.stringify(base)} + "/_matrix/client/v3/sync", { method, headers, body });
      const text = await answer.text();
      return [method, answer.status, text === "" ? null : JSON.parse(text)];
    } catch (error) {
      return [method, String(error), null];
    }
  }))`;
  return (await page.evaluate(script)) as readonly (readonly [string, number | string, unknown])[];
}

const message = "This server has moved.";
for (const name of [...(Object.keys(PROXIES) as ProxyName[]), "synlift" as const]) {
  test(`${name}: a page of another origin sees the sign-out for all five methods, and the outage`, async () => {
    const error = { errcode: "M_UNKNOWN_TOKEN", error: message, soft_logout: true };
    await running(name, signOutBehaviour({ kind: "soft", to, message, untouched }), async (base) => {
      assert.deepEqual(
        await seenByPage(base),
        METHODS.map((method) => [method, 401, method === "HEAD" ? null : error]),
      );
    });
    await running(name, maintenanceBehaviour({ retryAfter: 60, message, untouched }), async (base) => {
      assert.deepEqual(
        await seenByPage(base),
        METHODS.map((method) => [
          method,
          503,
          method === "HEAD" ? null : { errcode: "M_UNKNOWN", error: message },
        ]),
      );
    });
  });

  test(`${name}: a page of another origin reaches the new server through the old address`, async () => {
    await running(name, forwardBehaviour({ to, untouched }), async (base) => {
      assert.deepEqual(
        await seenByPage(base),
        METHODS.map((method) => [method, 200, method === "HEAD" ? null : { method, versions: ["v1.11"] }]),
      );
    });
  });

  for (const kind of ["soft", "hard"] as const)
    test(`${name}: matrix-js-sdk reports a ${kind} sign-out, and of an outage only a failure`, async () => {
      await running(name, signOutBehaviour({ kind, to, message, untouched }), async (base) => {
        const { error, signedOut } = await askAsClient(base);
        assert.equal(error.errcode, "M_UNKNOWN_TOKEN");
        assert.equal(signedOut?.data["soft_logout"], kind === "soft");
      });
      if (kind === "hard") return;
      await running(name, maintenanceBehaviour({ retryAfter: 60, message, untouched }), async (base) => {
        const { error, signedOut } = await askAsClient(base);
        assert.deepEqual([error.httpStatus, signedOut], [503, undefined]);
      });
    });
}

/** What a client with a session learns from its first request. */
async function askAsClient(
  base: string,
): Promise<{ error: MatrixError; signedOut: MatrixError | undefined }> {
  const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => silent };
  const client = createClient({
    baseUrl: base,
    userId: "@alice:example.org",
    deviceId: "DEVICE",
    accessToken: "syt_alice",
    logger: silent,
  });
  let signedOut: MatrixError | undefined;
  client.on(HttpApiEvent.SessionLoggedOut, (error) => (signedOut = error));
  try {
    await client.whoami();
  } catch (error) {
    return { error: error as MatrixError, signedOut };
  } finally {
    client.stopClient();
  }
  throw new Error("the client was not refused");
}
