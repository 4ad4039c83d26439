import assert from "node:assert/strict";
import { createServer as createWebServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { httpOver } from "../../../src/system/http/http.ts";
import { freePort } from "../../support/lab/server-process.ts";
import { TestAuthority } from "../../support/test-authority.ts";
import { startWeb, type WebAnswer } from "../../support/web-server.ts";

const authority = new TestAuthority();
const certificates = { "": authority.sign(["example.org", "*.example.org", "127.0.0.1"]) };
const DAY = 86_400_000;

/** A server with TLS, and an Http that trusts its authority and takes its port for 443. */
async function site(answer: (host: string, path: string) => WebAnswer | undefined, own = certificates) {
  const web = await startWeb({ certificates: own, answer });
  const portFor = (port: number) => (port === 443 ? web.port : port);
  const http = httpOver({ authorities: [authority.pem], portFor });
  const at = { address: "127.0.0.1", port: web.port };
  return { web, http, at, portFor, [Symbol.asyncDispose]: () => web[Symbol.asyncDispose]() };
}

test("a page is fetched from a given address, under the name of its URL", async () => {
  await using world = await site(() => ({
    headers: { "x-one": "1", "cache-control": "max-age=5" },
    body: "hello",
  }));
  const answer = await world.http.get("https://example.org/a%20b?c=d#e", { at: world.at });
  assert.deepEqual(
    [answer.status, answer.headers.get("cache-control"), Buffer.from(answer.body).toString()],
    [200, "max-age=5", "hello"],
  );
  assert.deepEqual(world.web.asked, ["example.org example.org /a%20b?c=d"]);
});

test("a port of the URL is in the Host header; a port that stands for another is not", async () => {
  await using world = await site(() => ({}));
  await world.http.get("https://example.org:8448/", { at: world.at });
  await world.http.get("https://example.org/", { at: { address: "127.0.0.1", port: 443 } });
  await world.http.get("https://127.0.0.1/");
  assert.deepEqual(world.web.asked, [
    "example.org example.org:8448 /",
    "example.org example.org /",
    "- 127.0.0.1 /",
  ]);
});

test("a redirect is handed back and not followed", async () => {
  await using world = await site((_, path) =>
    path === "/" ? { status: 301, headers: { location: "/elsewhere" } } : { body: "followed" },
  );
  const answer = await world.http.get("https://example.org/", { at: world.at });
  assert.deepEqual([answer.status, answer.headers.get("location")], [301, "/elsewhere"]);
});

test("plain HTTP is fetched as well", async () => {
  await using web = await startWeb({ answer: () => ({ body: "plain" }) });
  const answer = await httpOver().get(`http://127.0.0.1:${web.port}/`);
  assert.equal(Buffer.from(answer.body).toString(), "plain");
});

test("a server that nobody vouches for is not believed", async () => {
  await using world = await site(() => ({ body: "secret" }));
  const kind = { name: "NoAnswer", kind: "certificate" };
  await assert.rejects(httpOver().get("https://example.org/", { at: world.at }), kind);
  await assert.rejects(world.http.get("https://other.example/", { at: world.at }), {
    ...kind,
    message: "the certificate is for other names",
  });
  assert.deepEqual(world.web.asked, []);
});

test("each way of not answering has its name", async () => {
  await using world = await site((_, path) =>
    path === "/hang" ? "hang" : path === "/break" ? "break" : { body: "x".repeat(60) },
  );
  const rejected = (path: string, kind: string, options = {}) =>
    assert.rejects(world.http.get(`https://example.org${path}`, { at: world.at, ...options }), {
      name: "NoAnswer",
      kind,
    });
  await rejected("/hang", "timed-out", { timeout: 60 });
  await rejected("/break", "broken");
  await rejected("/long", "too-large", { limit: 59 });
  await rejected("/", "refused", { at: { address: "127.0.0.1", port: await freePort() } });
  assert.equal(
    (await world.http.get("https://example.org/long", { at: world.at, limit: 60 })).body.length,
    60,
  );

  await using plain = await startWeb({ answer: () => ({}) });
  await rejected("/", "not-tls", { at: { address: "127.0.0.1", port: plain.port } });
});

test("what is no web address is rejected like a server that does not answer", async () => {
  for (const url of ["", "example.org", "ftp://example.org/", "http://"])
    await assert.rejects(httpOver().get(url), { name: "NoAnswer", kind: "broken" });
});

test("a server that drips is cut off when the time is over", async () => {
  const server = createServer((socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    const timer = setInterval(() => socket.write("."), 10);
    socket.on("close", () => {
      clearInterval(timer);
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await assert.rejects(httpOver().get(`http://127.0.0.1:${port}/`, { timeout: 100 }), { kind: "timed-out" });
  server.close();
});

test("a run that is stopped stops waiting, with its own reason", async () => {
  await using world = await site(() => "hang");
  const stopping = new AbortController();
  setTimeout(() => {
    stopping.abort(new Error("stop"));
  }, 50);
  const { signal } = stopping;
  await assert.rejects(world.http.get("https://example.org/", { at: world.at, signal }), /^Error: stop$/);
  await assert.rejects(world.http.certificate("example.org", world.at, { signal }), /^Error: stop$/);
});

test("a certificate is looked at, whether it can be trusted or not", async () => {
  await using world = await site(() => ({}));
  const own = await world.http.certificate("matrix.example.org", world.at);
  assert.deepEqual(own.names, ["example.org", "*.example.org", "127.0.0.1"]);
  assert.equal(own.issuer, "Nobody, Test Authority");
  assert.deepEqual([own.fits, own.trusted, own.distrust], [true, true, undefined]);
  assert.ok(Math.abs(own.validTo - Date.now() - 90 * DAY) < DAY);
  assert.ok(own.validFrom <= Date.now());

  const otherName = await world.http.certificate("example.com", world.at);
  assert.deepEqual([otherName.fits, otherName.trusted], [false, true]);
  const byAddress = await world.http.certificate("127.0.0.1", world.at);
  assert.deepEqual([byAddress.fits, byAddress.trusted], [true, true]);
  const unknown = await httpOver().certificate("example.org", world.at);
  assert.deepEqual([unknown.fits, unknown.trusted], [true, false]);
  assert.match(unknown.distrust!, /unable to verify/);
});

test("a certificate that is over, or has no names, does not do", async () => {
  await using old = await site(() => ({}), { "": authority.sign(["example.org"], -1) });
  const expired = await old.http.certificate("example.org", old.at);
  assert.deepEqual([expired.trusted, expired.distrust], [false, "the certificate has expired"]);
  assert.ok(expired.validTo < Date.now());

  await using nameless = await site(() => ({}), { "": authority.sign([]) });
  const shown = await nameless.http.certificate("x", nameless.at);
  assert.deepEqual([shown.names, shown.fits], [[], false]);
});

test("where no TLS is spoken there is no certificate to look at", async () => {
  await using plain = await startWeb({ answer: () => ({}) });
  const http = httpOver();
  await assert.rejects(http.certificate("example.org", { address: "127.0.0.1", port: plain.port }), {
    kind: "not-tls",
  });
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  await assert.rejects(http.certificate("example.org", { address: "127.0.0.1", port }, { timeout: 60 }), {
    kind: "timed-out",
  });
  silent.close();
});

test("JSON is put with its length and type, and what is answered comes back whatever it is", async () => {
  const server = createWebServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const { method, headers } = request;
      const seen = [method, headers["content-type"], headers["content-length"], headers["authorization"]];
      response
        .writeHead(429, { "retry-after": "2" })
        .end(`${seen.join(" ")} ${Buffer.concat(chunks).toString()}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const answer = await httpOver().put(url, { ü: 1 }, { headers: { authorization: "Bearer t" } });
    assert.deepEqual(
      [answer.status, answer.headers.get("retry-after"), Buffer.from(answer.body).toString()],
      [429, "2", 'PUT application/json 8 Bearer t {"ü":1}'],
    );
  } finally {
    server.close();
  }
});

test("a long answer is handed on as it comes; one that stops or breaks off is no whole answer", async () => {
  const server = createWebServer((request, response) => {
    if (request.url === "/none") return;
    response.writeHead(200, { "content-length": "10" }).write("half");
    if (request.url === "/break") setTimeout(() => response.socket?.destroy(), 20);
    // Longer than is waited for, and never as long without a byte.
    if (request.url === "/slow") {
      for (const [index, byte] of ["-w", "h", "o", "le"].entries())
        setTimeout(() => response.write(byte), 400 * (index + 1));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const take = async ({ body }: { body: AsyncIterable<Uint8Array> }) => {
    let text = "";
    for await (const chunk of body) text += Buffer.from(chunk).toString();
    return text;
  };
  const download = (path: string, signal?: AbortSignal) =>
    httpOver().download(`${url}${path}`, { timeout: 1200, ...(signal ? { signal } : {}) }, take);
  try {
    assert.equal(await download("/slow"), "half-whole");
    await assert.rejects(download("/break"), { name: "NoAnswer", kind: "broken" });
    await assert.rejects(download("/stop"), { name: "NoAnswer", kind: "timed-out" });
    await assert.rejects(download("/none"), { name: "NoAnswer", kind: "timed-out" });
    const stopped = new Error("stopped");
    await assert.rejects(download("/stop", AbortSignal.abort(stopped)), stopped);
    const stop = new AbortController();
    setTimeout(() => {
      stop.abort(stopped);
    }, 50);
    await assert.rejects(download("/stop", stop.signal), stopped);
    const full = new Error("the disk is full");
    await assert.rejects(
      httpOver().download(`${url}/stop`, {}, () => Promise.reject(full)),
      full,
      "what takes it fails as itself",
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
