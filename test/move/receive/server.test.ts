import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { uploadId } from "../../../src/transfer/receiver-format.ts";
import { noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { startReceiver, type TestReceiver } from "../../support/receiver.ts";
import { overSocket, RawClient, sha256Of } from "../../support/receiver-client.ts";

let server: TestReceiver;
let customers = 0;

before(async () => {
  server = await startReceiver({ silence: 1 });
});
after(() => server.stop());

/** A customer of its own, with its folder. */
async function customer(given: { days?: number; limit?: number } = {}) {
  const invitation = await server.invite(`customer-${(customers += 1)}`, given);
  const folder = join(server.folder, invitation.name);
  return { client: new RawClient(server.origin, invitation.token), folder, ...invitation };
}

const errorOf = async (response: Response) => ((await response.json()) as { error: string }).error;

test("anybody learns what the server can do, and nothing else", async () => {
  const nobody = new RawClient(server.origin, undefined);
  const able = await nobody.ask("OPTIONS", "/uploads");
  assert.equal(able.status, 204);
  assert.equal(able.headers.get("tus-version"), "1.0.0");
  assert.equal(able.headers.get("tus-extension"), "creation,checksum,expiration,termination");
  for (const [method, path] of [
    ["GET", "/status"],
    ["POST", "/uploads"],
    ["PATCH", "/uploads/x"],
    ["HEAD", "/uploads/x"],
    ["DELETE", "/uploads/x"],
    ["GET", "/files/manifest.json"],
    ["DELETE", "/files/manifest.json"],
    ["GET", "/nowhere"],
  ] as const) {
    const refused = await nobody.ask(method, path);
    assert.equal(refused.status, 401, `${method} ${path}`);
    assert.equal(refused.headers.get("www-authenticate"), "Bearer");
  }
});

test("a wrong, expired, revoked or foreign invitation gets nothing", async () => {
  const { client, name, token } = await customer();
  await client.put("secret", noise(99));
  const other = await customer();
  for (const wrong of [
    "x",
    name,
    `${name}.`,
    token.slice(0, -1),
    `${token}A`,
    `${name}.${"A".repeat(43)}`,
    `${name}.${other.token.split(".").at(-1)!}`,
    `../${name}.${"A".repeat(43)}`,
    `nobody.${"A".repeat(43)}`,
  ]) {
    const refused = await new RawClient(server.origin, wrong).ask("GET", "/status");
    assert.equal(refused.status, 401, wrong);
    assert.equal(await errorOf(refused), "invitation");
  }
  assert.equal((await other.client.ask("GET", "/files/secret")).status, 404, "another customer's file");
  assert.equal((await other.client.ask("DELETE", `/files/secret`)).status, 404);
  assert.deepEqual((await other.client.status()).files, []);

  const expired = await customer({ days: -1 });
  const refused = await expired.client.ask("GET", "/status");
  assert.equal(refused.status, 401);
  assert.match(await refused.text(), /has expired/);

  const renewed = await server.invite(name);
  assert.equal((await client.ask("GET", "/status")).status, 401, "a new invitation replaces the one before");
  assert.equal((await new RawClient(server.origin, renewed.token).status()).files[0]?.name, "secret");
});

test("the token is stored only as its hash, and everything is private", async () => {
  const { client, folder, token } = await customer();
  await client.put("x", noise(99));
  const all = readdirSync(server.folder, { recursive: true, withFileTypes: true });
  assert.ok(all.length > 5);
  for (const entry of all) {
    const path = join(entry.parentPath, entry.name);
    assert.equal(statSync(path).mode & 0o077, 0, path);
    if (entry.isFile()) assert.equal(readFileSync(path).includes(token.split(".").at(-1)!), false, path);
  }
  assert.equal(statSync(join(folder, "x")).mode & 0o777, 0o600);
  assert.equal(server.notes.join().includes(token), false);
});

test("names that lead out of the folder, or that a later run would take for its own, are refused", async () => {
  const { client, folder } = await customer();
  for (const name of [
    "../x",
    "/etc/passwd",
    "a/b",
    ".hidden",
    "-rf",
    "",
    "x\n",
    "x\0y",
    "ü",
    "a".repeat(201),
    "lock",
    "lock.send",
    "journal.json",
    "fetched.json",
  ]) {
    const refused = await client.announce(name, 9, sha256Of("x"));
    assert.equal(refused.status, 400, JSON.stringify(name));
  }
  assert.equal(existsSync(folder) && readdirSync(folder).length > 0, false);
  for (const path of [
    "/files/..%2f..%2fetc%2fpasswd",
    "/files/%2e%2e/.receive/lock",
    "/uploads/..%2f..%2fx",
    "/files/x%00",
    "/files/%ff",
    "/.receive/invitations/",
  ])
    assert.ok([400, 404].includes((await client.ask("GET", path)).status), path);
  const { port } = server;
  const head = `Host: x\r\nAuthorization: ${client.headers()["Authorization"]!}\r\nConnection: close\r\n\r\n`;
  for (const target of ["/files/../../../etc/passwd", "/../status", "//etc/passwd", "http://x/files/../x"])
    assert.match(await overSocket(port, `GET ${target} HTTP/1.1\r\n${head}`), /^HTTP\/1\.1 40[04] /, target);
});

test("a hash that is none, and requests without what tus asks for, are refused with a sentence", async () => {
  const { client } = await customer();
  assert.equal((await client.announce("x", 9, "abc")).status, 400);
  assert.equal((await client.announce("x", "nine", sha256Of("x"))).status, 400);
  assert.equal((await client.announce("x", "-1", sha256Of("x"))).status, 400);
  assert.equal((await client.announce("x", "9e99", sha256Of("x"))).status, 400);
  const without = await client.ask("POST", "/uploads", { "Tus-Resumable": "0.2.2", "Upload-Length": "1" });
  assert.equal(without.status, 412);
  const id = uploadId({ name: "x", sha256: sha256Of("123456789") });
  assert.equal((await client.announce("x", 9, sha256Of("123456789"))).status, 201);
  assert.equal((await client.piece(id, 0, Buffer.from("1"), { "Content-Type": "text/plain" })).status, 415);
  assert.equal((await client.piece(id, 3, Buffer.from("4"))).status, 409, "from where nothing is");
  assert.equal((await client.ask("HEAD", `/uploads/${id}`)).headers.get("upload-offset"), "0");
});

test("what is longer than was announced is refused, said in advance or not, and nothing of it is kept", async () => {
  const { client, folder } = await customer();
  const bytes = noise(1000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", 1000, sha256Of(bytes));
  const told = await client.piece(id, 0, noise(5000));
  assert.equal(told.status, 413);
  assert.equal(await errorOf(told), "too-large");
  const chunk = "x".repeat(4000);
  const said = await overSocket(
    server.port,
    [
      `PATCH /uploads/${id} HTTP/1.1`,
      "Host: x",
      ...Object.entries(client.headers()).map(([name, value]) => `${name}: ${value}`),
      "Upload-Offset: 0",
      "Content-Type: application/offset+octet-stream",
      "Transfer-Encoding: chunked",
      "Connection: close",
      "",
      `${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`,
    ].join("\r\n"),
  );
  assert.match(said, /^HTTP\/1\.1 413 /);
  assert.equal((await client.piece(id, 0, bytes)).status, 204);
  await client.proof(`/uploads/${id}/proof`);
  assert.ok(readFileSync(join(folder, "x")).equals(bytes));
});

test("what ends before its announced length stays partial, and is continued", async () => {
  const { client, folder } = await customer();
  const bytes = noise(1000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", 1000, sha256Of(bytes));
  await client.piece(id, 0, bytes.subarray(0, 400));
  assert.deepEqual(
    (await client.status()).files.map(({ state, received }) => [state, received]),
    [["partial", 400]],
  );
  assert.deepEqual(readdirSync(folder), [`.${id}.partial`]);
  assert.equal((await client.announce("x", 1000, sha256Of(bytes))).headers.get("upload-offset"), "400");
  assert.equal((await client.announce("x", 999, sha256Of(bytes))).status, 409);
  await client.piece(id, 400, bytes.subarray(400));
  assert.deepEqual(await client.proof(`/uploads/${id}/proof`), {
    size: 1000,
    sha256: sha256Of(bytes),
    state: "arrived",
  });
});

test("giant headers and what is no HTTP are refused, and others go on", async () => {
  const { port } = server;
  assert.match(
    await overSocket(port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(100_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  assert.match(await overSocket(port, "\x16\x03\x01 no HTTP at all\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.equal((await new RawClient(server.origin, undefined).ask("OPTIONS", "/")).status, 204);
});

test("slow headers and slow bodies lose their connection, and what came is kept", async () => {
  const { client } = await customer();
  const { port } = server;
  assert.doesNotMatch(await overSocket(port, "GET /status HTTP/1.1\r\nHost: x\r\n"), /^HTTP\/1\.1 200/);
  const bytes = noise(100_000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", bytes.length, sha256Of(bytes));
  const head = Object.entries(client.headers()).map(([name, value]) => `${name}: ${value}`);
  let timer: NodeJS.Timeout | undefined;
  await overSocket(
    port,
    [
      `PATCH /uploads/${id} HTTP/1.1`,
      "Host: x",
      ...head,
      "Upload-Offset: 0",
      "Content-Type: application/offset+octet-stream",
      `Content-Length: ${bytes.length}`,
      "",
      "",
    ].join("\r\n"),
    (write) => {
      timer = setInterval(() => {
        write("x");
      }, 50);
    },
  );
  clearInterval(timer);
  const { status, headers } = await client.ask("HEAD", `/uploads/${id}`);
  assert.equal(status, 200);
  const offset = Number(headers.get("upload-offset"));
  assert.ok(offset > 0 && offset < 1024, `${offset}`);
});

test("while one connection sends a file, another one for it is refused, and takes nothing away", async () => {
  const { client, folder } = await customer();
  const bytes = noise(300_000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", bytes.length, sha256Of(bytes));
  let more: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      more = controller;
    },
  });
  const first = fetch(`${server.origin}/uploads/${id}`, {
    method: "PATCH",
    headers: client.headers({ "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" }),
    body,
    duplex: "half",
  });
  more!.enqueue(bytes.subarray(0, 100_000));
  while ((readdirSync(folder).length === 0 ? 0 : statSync(join(folder, `.${id}.partial`)).size) < 100_000)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const steady = setInterval(() => {
    more!.enqueue(bytes.subarray(100_000, 100_000));
  }, 100);
  const second = client.piece(id, 0, bytes);
  const third = client.ask("DELETE", `/uploads/${id}`);
  // Bytes come all the time, so the first one is not too slow meanwhile.
  let at = 100_000;
  while (at < 200_000) {
    more!.enqueue(bytes.subarray(at, at + 2000));
    at += 2000;
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
  for (const other of [await second, await third]) {
    assert.equal(other.status, 423);
    assert.equal(await errorOf(other), "busy");
  }
  clearInterval(steady);
  more!.enqueue(bytes.subarray(at));
  more!.close();
  assert.equal((await first).status, 204);
  await client.proof(`/uploads/${id}/proof`);
  assert.ok(readFileSync(join(folder, "x")).equals(bytes));
});

test("what arrives with another hash than was announced is removed, and the status says so until it is right", async () => {
  const { client, folder } = await customer();
  const bytes = noise(1000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", 1000, sha256Of(bytes));
  const sent = await client.piece(id, 0, noise(1000, 2));
  assert.equal(sent.status, 460);
  assert.deepEqual(readdirSync(folder), []);
  assert.match((await client.status()).problems[0]!.message, /^x arrived with another hash/);
  await client.put("x", bytes);
  assert.deepEqual((await client.status()).problems, []);
});

test("a byte that flips in a partial file on the disk is found before the file gets its name", async () => {
  const { client, folder } = await customer();
  const bytes = noise(1000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", 1000, sha256Of(bytes));
  await client.piece(id, 0, bytes.subarray(0, 500));
  const partial = join(folder, `.${id}.partial`);
  writeFileSync(partial, readFileSync(partial).fill(0, 7, 9));
  assert.equal((await client.piece(id, 500, bytes.subarray(500))).status, 204);
  const proof = await client.proof(`/uploads/${id}/proof`);
  assert.ok(proof["error"] === "hash" || proof["error"] === "not-found");
  assert.deepEqual(readdirSync(folder), []);
});

test("a piece whose own checksum differs leaves nothing behind, and the next one is right", async () => {
  const { client, folder } = await customer();
  const bytes = noise(1000);
  const id = uploadId({ name: "x", sha256: sha256Of(bytes) });
  await client.announce("x", 1000, sha256Of(bytes));
  const sum = (text: Uint8Array) => `sha256 ${Buffer.from(sha256Of(text), "hex").toString("base64")}`;
  const first = bytes.subarray(0, 600);
  assert.equal((await client.piece(id, 0, first, { "Upload-Checksum": "md5 AAAA" })).status, 400);
  assert.equal((await client.piece(id, 0, first, { "Upload-Checksum": sum(bytes) })).status, 460);
  assert.equal((await client.ask("HEAD", `/uploads/${id}`)).headers.get("upload-offset"), "0");
  assert.equal((await client.piece(id, 0, first, { "Upload-Checksum": sum(first) })).status, 204);
  const rest = bytes.subarray(600);
  assert.equal((await client.piece(id, 600, rest, { "Upload-Checksum": sum(rest) })).status, 204);
  await client.proof(`/uploads/${id}/proof`);
  assert.ok(readFileSync(join(folder, "x")).equals(bytes));
});

test("the limit of an invitation holds for all files together, announced ones too", async () => {
  const { client } = await customer({ limit: 1000 });
  await client.put("x", noise(600));
  const refused = await client.announce("y", 401, sha256Of("y"));
  assert.equal(refused.status, 413);
  assert.equal(await errorOf(refused), "limit");
  assert.equal((await client.announce("y", 400, sha256Of("y"))).status, 201);
  assert.equal((await client.announce("z", 1, sha256Of("z"))).status, 413);
  await client.put("x", noise(600, 2));
  assert.equal(
    (await client.ask("DELETE", `/uploads/${uploadId({ name: "y", sha256: sha256Of("y") })}`)).status,
    204,
  );
  assert.equal((await client.announce("z", 1, sha256Of("z"))).status, 201);
});

test("50 uploads at once lose nothing", async () => {
  const { client, folder } = await customer();
  const files = Array.from({ length: 50 }, (_, index) => ({
    name: `x.part-${String(index).padStart(2, "0")}`,
    bytes: noise(40_000 + index * 977, index),
  }));
  const proofs = await Promise.all(files.map(({ name, bytes }) => client.put(name, bytes)));
  assert.ok(proofs.every(({ state }) => state === "arrived"));
  for (const { name, bytes } of files) assert.ok(readFileSync(join(folder, name)).equals(bytes), name);
  assert.deepEqual(readdirSync(folder).sort(), files.map(({ name }) => name).sort());
  assert.equal((await client.status()).files.filter(({ state }) => state === "arrived").length, 50);
});

test("more connections than are allowed are closed, and those that are open go on", async (t) => {
  const small = await startReceiver({ connections: 2, silence: 30 }, t);
  const open = await Promise.all(
    [1, 2].map(
      () =>
        new Promise<Socket>((resolve) => {
          const socket = connect(small.port, "127.0.0.1").on("data", () => {
            resolve(socket);
          });
          socket.write("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n");
        }),
    ),
  );
  assert.equal(await overSocket(small.port, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  for (const socket of open) {
    socket.write("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.match(String(await once(socket, "data")), /^HTTP\/1\.1 204 /);
    socket.destroy();
  }
});

test("without a certificate it listens on loopback only, unless told; and one process serves a folder", async (t) => {
  await assert.rejects(startReceiver({ listen: { address: undefined, port: 0 } }), { code: "bad-usage" });
  await assert.rejects(startReceiver({ listen: { address: "0.0.0.0", port: 0 } }), { code: "bad-usage" });
  const folder = temporaryFolder("incoming");
  const first = await startReceiver({ folder, listen: { address: "0.0.0.0", port: 0 }, plain: true }, t);
  await assert.rejects(startReceiver({ folder }), { code: "bundle-in-use" });
  await first.stop();
});

test("a lock of another boot is replaced, although a process with its id runs", async (t) => {
  const folder = temporaryFolder("incoming");
  const boot = (name: string) => ({ sinceBoot: () => ({ boot: name, milliseconds: 1 }) });
  const first = await startReceiver({ folder, machine: boot("a") });
  const lock = join(folder, ".receive", "lock");
  const held = readFileSync(lock);
  await first.stop();
  writeFileSync(lock, held);
  await assert.rejects(startReceiver({ folder, machine: boot("a") }), { code: "bundle-in-use" });
  await startReceiver({ folder, machine: boot("b") }, t);
});

test("what an invitation that has ended left unfinished is removed, and what has arrived stays", async (t) => {
  const folder = temporaryFolder("incoming");
  let now = Date.now();
  const first = await startReceiver({ folder, machine: { now: () => now } });
  const { token, name } = await first.invite("example.org", { days: 1 });
  const client = new RawClient(first.origin, token);
  await client.put("x", noise(99));
  await client.announce("y", 9, sha256Of("y"));
  await first.stop();
  now += 2 * 24 * 60 * 60 * 1000;
  const second = await startReceiver({ folder, machine: { now: () => now } }, t);
  while (!second.notes.some((note) => note.includes("were removed")))
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(readdirSync(join(folder, name)), ["x"]);
});
