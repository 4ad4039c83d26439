import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Endpoint, listeningSockets, tryToListen, usersOfPort } from "../../src/system/listening.ts";
import { freePort, ServerProcess } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

/** A server at this place, which ends with the test. */
async function occupied(t: TestContext, at: Endpoint): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen("path" in at ? { path: at.path } : { host: at.address, port: at.port }, resolve);
  });
  t.after(() => server.close());
  return server;
}

test("a port is free where nothing listens, and a look at it leaves it free", async () => {
  const port = await freePort();
  for (const address of ["127.0.0.1", "127.0.0.1", "0.0.0.0", "::"])
    assert.equal(await tryToListen({ address, port }), undefined);
});

test("a port is in use with any server, on that address or on all of them", async (t) => {
  for (const [taken, wanted] of [
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1", "0.0.0.0"],
    ["0.0.0.0", "127.0.0.1"],
    ["::", "127.0.0.1"],
    ["::1", "::1"],
    ["0.0.0.0", "::"],
  ] as const) {
    const port = await freePort();
    await occupied(t, { address: taken, port });
    assert.equal(await tryToListen({ address: wanted, port }), "in-use", `${wanted} beside ${taken}`);
  }
  const port = await freePort();
  await occupied(t, { address: "127.0.0.1", port });
  assert.equal(await tryToListen({ address: "127.0.0.2", port }), undefined);
});

test("an address of another host is told as that", async () => {
  assert.equal(await tryToListen({ address: "192.0.2.7", port: await freePort() }), "not-here");
  assert.equal(await tryToListen({ address: "2001:db8::7", port: await freePort() }), "not-here");
});

test("a Unix socket is in use while its server runs, and its file alone is in nobody's way", async (t) => {
  const path = join(temporaryFolder("socket"), "s");
  assert.equal(await tryToListen({ path }), undefined);
  const server = new ServerProcess({
    program: process.execPath,
    args: ["-e", `require("node:net").createServer().listen(${JSON.stringify(path)})`],
    folder: "/",
  });
  t.after(() => {
    server.kill();
  });
  await server.untilReady(async () => (await tryToListen({ path })) === "in-use", 60);
  server.kill();
  await server.exited;
  assert.equal(await tryToListen({ path }), undefined);
});

test("who listens on a port is found, and a connection to another one is not taken for that", async (t) => {
  const port = await freePort();
  assert.deepEqual(usersOfPort(port), []);
  await occupied(t, { address: "127.0.0.1", port });
  assert.deepEqual(usersOfPort(port), [{ pid: process.pid, program: "node" }]);
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 4711 1 0 100 0 0 10 0",
    "   1: 0100007F:1538 0100007F:D431 01 00000000:00000000 00:00000000 00000000   105        0 4712 1 0 100 0 0 10 0",
    "   2: 0100007F:D431 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0",
    "",
  ].join("\n");
  assert.deepEqual(listeningSockets(table, 5432), ["socket:[4711]"]);
  assert.deepEqual(listeningSockets(table, 5433), []);
});
