import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { connect as connectSecurely } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { test } from "node:test";
import {
  realWebServers,
  type Reply,
  type StaticReply,
  type WebRequest,
} from "../../../src/system/http/serve.ts";
import { TestAuthority } from "../../support/test-authority.ts";

// The server of ours, below what it says about Matrix: connections, forwarding and the end.

const said = (status: number, body: string): StaticReply => ({ kind: "reply", status, headers: {}, body });
const unreachable = said(502, "unreachable");
const loop = said(502, "loop");
const loopback = { address: "127.0.0.1", port: 0 };

async function serving(handle: (request: WebRequest) => Reply, endpoints: readonly Endpoint[] = [loopback]) {
  const listener = await realWebServers.listen({ endpoints, tls: undefined, unreachable, loop, handle });
  return { listener, port: listener.endpoints[0]!.port };
}
interface Endpoint {
  readonly address: string | undefined;
  readonly port: number;
}

/** Another server, which keeps what was asked of it; `answer` may hold a request back. */
async function upstream(
  answer: (done: () => void) => void = (done) => {
    done();
  },
) {
  const asked: string[] = [];
  const server = createServer((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (piece: Buffer) => (body += piece.toString("latin1")));
    incoming.on("end", () => {
      asked.push(`${incoming.method} ${incoming.url} ${body.length}`);
      answer(() => outgoing.end("done"));
    });
    incoming.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    asked,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Sends `text` and resolves to all that comes back until the connection ends, or `until` of it has come. */
function raw(port: number, text: string, until = "\0", host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connect(port, host, () => socket.write(text, "latin1"));
    socket.setEncoding("latin1").on("data", (piece: string) => {
      got += piece;
      if (got.includes(until)) socket.destroy();
    });
    socket
      .on("error", () => undefined)
      .on("close", () => {
        resolve(got);
      });
  });
}

test("no header can have the body of a request taken for the next request of the new server", async () => {
  using far = await upstream();
  const { listener, port } = await serving(({ target }) => ({
    kind: "forward",
    origin: far.origin,
    path: target,
  }));
  const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  const chunked = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
  for (const named of ["content-length", "Content-Length , host", "transfer-encoding", "upgrade"]) {
    const head = `POST /seen HTTP/1.1\r\nHost: x\r\nConnection: ${named}\r\n`;
    await raw(port, `${head}Content-Length: ${hidden.length}\r\n\r\n${hidden}`, "done");
    await raw(port, `${head}Transfer-Encoding: chunked\r\n\r\n${chunked}`, "done");
    // What was smuggled would be answered before this, on the same connection.
    assert.match(await raw(port, "GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), /done/);
  }
  const one = [`POST /seen ${hidden.length}`, `POST /seen ${hidden.length}`, "GET /after 0"];
  assert.deepEqual(far.asked, [...one, ...one, ...one, ...one]);
  await listener.stop(1_000);
});

test("an address that leads back to the server itself is told so, and does not go round", async () => {
  let asked = 0;
  let origin = "";
  const { listener, port } = await serving(({ target }) => {
    asked += 1;
    return { kind: "forward", origin, path: target };
  });
  origin = `http://127.0.0.1:${port}`;
  const answer = await fetch(`${origin}/x`);
  assert.deepEqual([answer.status, await answer.text(), asked], [502, "loop", 2]);
  await listener.stop(1_000);
});

test("asked to end, an upload in flight is completed; one that takes longer than it may is broken off and counted", async () => {
  using far = await upstream();
  for (const goesOn of [true, false]) {
    const { listener, port } = await serving(({ target }) => ({
      kind: "forward",
      origin: far.origin,
      path: target,
    }));
    const upload = request({ host: "127.0.0.1", port, method: "POST", path: "/upload", agent: false });
    const ended = new Promise<string>((resolve) => {
      upload.on("response", (response) => {
        resolve(`${response.resume().statusCode}`);
      });
      upload.on("error", () => {
        resolve("broken");
      });
    });
    upload.setHeader("Content-Length", 2_000_000);
    await new Promise<void>((resolve) =>
      upload.write(Buffer.alloc(1_000_000), () => {
        resolve();
      }),
    );
    const stopped = listener.stop(goesOn ? 60_000 : 50);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/new`), "no new requests are taken");
    if (goesOn) upload.end(Buffer.alloc(1_000_000));
    assert.deepEqual([await ended, await stopped], goesOn ? ["200", 0] : ["broken", 1]);
  }
  assert.deepEqual(far.asked, ["POST /upload 2000000"]);
});

test("a connection through the server to another host is refused, in HTTP/2 as well", async () => {
  const authority = new TestAuthority();
  const { key, cert } = authority.sign(["localhost"]);
  const listener = await realWebServers.listen({
    endpoints: [loopback],
    tls: { certificate: cert, key },
    unreachable,
    loop,
    handle: () => said(200, "{}"),
  });
  const session = connectSecurely(`https://localhost:${listener.endpoints[0]!.port}`, {
    ca: authority.pem,
    lookup: (_name, _options, found) => {
      found(null, [{ address: "127.0.0.1", family: 4 }]);
    },
  });
  const stream = session.request({ ":method": "CONNECT", ":authority": "evil.example.org:443" });
  const status = await new Promise((resolve) =>
    stream.on("response", (headers) => {
      resolve(headers[":status"]);
    }),
  );
  assert.equal(status, 405);
  stream.close();
  session.destroy();
  assert.equal(await listener.stop(60_000), 0);
});

test("all addresses of IPv6 and all of IPv4 are listened on side by side, as people write it", async () => {
  const get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const alone = await serving(() => said(200, "{}"), [{ address: "::", port: 0 }]);
  const { port } = alone;
  // Linux gives IPv4 to it as well.
  for (const host of ["127.0.0.1", "::1"]) assert.match(await raw(port, get, "{}", host), /^HTTP\/1\.1 200 /);
  await alone.listener.stop(1_000);
  const endpoints = [
    { address: "::", port },
    { address: "0.0.0.0", port },
  ];
  const both = await serving(() => said(200, "{}"), endpoints);
  for (const host of ["127.0.0.1", "::1"]) assert.match(await raw(port, get, "{}", host), /^HTTP\/1\.1 200 /);
  await both.listener.stop(1_000);
});
