import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { localHttp, localUrlsOf } from "../../src/homeserver/listeners.ts";
import { realHttp } from "../../src/system/http/http.ts";
import { TestAuthority } from "../support/test-authority.ts";
import { startWeb } from "../support/web-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

const listener = { addresses: ["::", "0.0.0.0"], tls: false, resources: ["client"] };

test("a server is asked where clients ask it, first without TLS, then with TLS, then at a unix socket", () => {
  const urls = localUrlsOf([
    { addresses: [], path: "/run/synapse/main.sock", tls: false, resources: ["client"] },
    { ...listener, port: 8448, addresses: ["0.0.0.0"], tls: true },
    { ...listener, port: 9093, addresses: ["10.0.0.1"], resources: ["replication"] },
    { ...listener, port: 8008 },
    { ...listener, port: 9000, resources: [] },
  ]);
  assert.deepEqual(urls, [
    "http://[::1]:8008",
    "http://127.0.0.1:8008",
    "https://127.0.0.1:8448",
    "http+unix://%2Frun%2Fsynapse%2Fmain.sock",
    "http://10.0.0.1:9093",
  ]);
});

test("a server that listens on a unix socket only answers", async (t) => {
  const path = join(temporaryFolder("socket"), "main.sock");
  const server = createServer((request, response) => response.end(`${request.headers.host} ${request.url}`));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  const [url] = localUrlsOf([{ addresses: [], path, tls: false, resources: ["client"] }]);
  const { status, body } = await realHttp.get(`${url}/_matrix/client/versions?a=B`);
  assert.deepEqual([status, Buffer.from(body).toString()], [200, "localhost /_matrix/client/versions?a=B"]);
  await assert.rejects(realHttp.get("http+unix://%2Fnowhere%2Fmain.sock/health"), { name: "NoAnswer" });
  await assert.rejects(realHttp.get("http+unix://%zz/health"), { name: "NoAnswer" });
});

test("a server with TLS for its public name answers at an address of this host, and no other server is believed so", async () => {
  const certificates = { "": new TestAuthority().sign(["old.example.org"]) };
  await using web = await startWeb({ certificates, answer: () => ({ body: "hello" }) });
  const tls = { ...listener, addresses: ["127.0.0.1"], port: web.port, tls: true };
  const [url] = localUrlsOf([tls]);
  assert.equal((await localHttp(realHttp, [tls]).get(`${url}/health`)).status, 200);
  await assert.rejects(realHttp.get(`${url}/health`), { kind: "certificate" });
  const other = localHttp(realHttp, [{ ...tls, port: web.port + 1 }]);
  await assert.rejects(other.get(`${url}/health`), { kind: "certificate" });
});
