import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { publicAnswerGate } from "../../../src/move/open/public-answer.ts";
import { realHttp } from "../../../src/system/http/http.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { freePort } from "../../support/lab/server-process.ts";

const KEY = { id: "ed25519:a_1", publicKey: "the public half" };
let answer: { status: number; body: string };
let asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(request.url ?? "");
  response.writeHead(answer.status).end(answer.body);
});
let address: string;

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => void server.close());

const system = { http: realHttp, machine: machineWith(), signal: new AbortController().signal };
const gate = (base: unknown, rehearsal = false) =>
  publicAnswerGate(
    { serverName: "old.example", settings: { public_baseurl: base } },
    { rehearsal },
    [KEY],
    system,
  );
const keysOf = (server_name: string, key: string) => ({
  status: 200,
  body: JSON.stringify({ server_name, verify_keys: { [KEY.id]: { key } } }),
});

test("a server with this name and this key keeps the fenced one from being opened, and no cache answers for it", async () => {
  answer = keysOf("old.example", KEY.publicKey);
  asked = [];
  for (const base of [address, `${address}/`]) {
    const [found] = await gate(base);
    assert.deepEqual([found?.id, found?.level], ["old-server-answers", "blocker"]);
    assert.ok(found!.sentence.startsWith(`${address} answers as old.example, with its signing key`));
  }
  assert.equal(new Set(asked).size, 2, asked.join());
  assert.ok(asked.every((path) => path.startsWith("/_matrix/key/v2/server?")));
});

test("any other answer proves nothing, and nothing is said", async () => {
  for (const other of [
    keysOf("old.example", "another key"),
    keysOf("new.example", KEY.publicKey),
    { status: 503, body: JSON.stringify({ errcode: "M_UNKNOWN" }) },
    { status: 200, body: '{"server_name": "old.example", "verify_keys": null}' },
    { status: 200, body: "<html>" },
  ]) {
    answer = other;
    assert.deepEqual(await gate(address), []);
  }
  assert.deepEqual(await gate(`http://127.0.0.1:${await freePort()}`), []);
});

test("where nothing is to be asked, nothing is", async () => {
  answer = keysOf("old.example", KEY.publicKey);
  asked = [];
  assert.deepEqual(await gate(address, true), [], "the server of a rehearsal runs");
  for (const base of [
    undefined,
    8008,
    "matrix.old.example",
    "ftp://old.example",
    "http://me:secret@127.0.0.1/",
  ])
    assert.deepEqual(await gate(base), []);
  assert.deepEqual(asked, []);
});
