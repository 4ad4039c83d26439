import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import type { Bytes } from "../../../src/system/bytes.ts";
import type { ObjectStore, ObjectStoreAddress } from "../../../src/system/s3/object-store.ts";
import { realObjectStores } from "../../../src/system/s3/s3.ts";
import { FaultyProxy } from "../../support/faulty-connection.ts";
import { S3Server } from "../../support/lab/s3-server.ts";

const CONTENT = randomBytes(3_000_000);
const CREDENTIALS = { accessKeyId: "lab", secretAccessKey: "hidden-from-everybody" };

let server: S3Server;
let proxy: FaultyProxy;

before(async () => {
  server = await S3Server.start({ pageSize: 50 });
  proxy = await FaultyProxy.to(server.url);
  await server.makeBucket("media");
  await server.put("media", "store/local_content/aa/bb/large", CONTENT);
  for (const name of ["b", "a", "C", "a-1", "ü"]) await server.put("media", `store/few/${name}`, name);
  for (let number = 0; number < 105; number += 1)
    await server.put("media", `store/many/${String(number).padStart(4, "0")}`, "x");
});
beforeEach(() => {
  proxy.fault = () => undefined;
  proxy.requests.length = 0;
});
after(async () => {
  await proxy.stop();
  await server.stop();
});

function bucket(more: Partial<ObjectStoreAddress> = {}, signal = new AbortController().signal): ObjectStore {
  const address = {
    bucket: "media",
    prefix: "store/",
    endpoint: proxy.url,
    credentials: CREDENTIALS,
    ...more,
  };
  return realObjectStores(signal).open(address);
}

const LARGE = "local_content/aa/bb/large";

async function bytesOf(source: Bytes): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function namesIn(store: ObjectStore, start: string, after?: string): Promise<string[]> {
  const names: string[] = [];
  for await (const batch of store.list(start, after)) names.push(...batch.map(({ name }) => name));
  return names;
}

const failsWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MigrationError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, words);
  assert.doesNotMatch(`${error.message} ${error.hint ?? ""}`, /a secret|hidden-from-everybody/);
  return true;
};

test("an object is looked at and read, and one that is not there is told", async () => {
  const store = bucket();
  const found = await store.look(LARGE);
  assert.deepEqual([found?.name, found?.size], [LARGE, CONTENT.length]);
  assert.ok(Math.abs(found!.mtimeMs - Date.now()) < 600_000);
  assert.equal(await store.look("local_content/aa/bb/none"), undefined);
  assert.ok((await bytesOf(store.read(LARGE, CONTENT.length))).equals(CONTENT));
  await assert.rejects(
    bytesOf(store.read("none", 5)),
    failsWith("file-missing", /none is not in the bucket media/),
  );
});

test("a list has all pages, in order, and can begin later on", async () => {
  const store = bucket();
  assert.deepEqual(await namesIn(store, "few/"), ["few/C", "few/a", "few/a-1", "few/b", "few/ü"]);
  assert.deepEqual(await namesIn(store, "few/", "few/a"), ["few/a-1", "few/b", "few/ü"]);
  proxy.requests.length = 0;
  assert.equal((await namesIn(store, "many/")).length, 105);
  assert.equal(proxy.requests.length, 3, "a page of 50, another one, and the rest");
  assert.deepEqual(await namesIn(store, "none/"), []);
});

test("a connection that breaks half way is taken up where it broke", async () => {
  let breaks = 3;
  proxy.fault = ({ method }) => (method === "GET" && breaks-- > 0 ? { breakAfter: 700_000 } : undefined);
  assert.ok((await bytesOf(bucket().read(LARGE, CONTENT.length))).equals(CONTENT));
  const ranges = proxy.requests.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")![1]));
  assert.equal(ranges.length, 4);
  assert.ok(
    ranges.every((from, index) => index === 0 || from > ranges[index - 1]!),
    ranges.join(" "),
  );
});

test("a server that never gives the rest is given up", { timeout: 60_000 }, async () => {
  proxy.fault = () => ({ breakAfter: 0 });
  await assert.rejects(
    bytesOf(bucket().read(LARGE, CONTENT.length)),
    failsWith("object-storage-failed", /^cannot read /),
  );
});

test("an object that is another one after the break is never pieced together", async () => {
  await server.put("media", "store/swapped", CONTENT);
  const store = bucket();
  proxy.fault = ({ headers }) => (headers.range === undefined ? { breakAfter: 700_000 } : undefined);
  const read = store.read("swapped", CONTENT.length)[Symbol.asyncIterator]();
  await read.next();
  await server.put("media", "store/swapped", randomBytes(CONTENT.length));
  const rest = async () => {
    while ((await read.next()).done !== true);
  };
  await assert.rejects(rest, failsWith("source-changed", /swapped/));
});

test("an object of another size than was said is refused", async () => {
  await assert.rejects(
    bytesOf(bucket().read(LARGE, 5)),
    failsWith("source-changed", /does not have the expected size of 5 bytes/),
  );
});

test("a server that is busy for a moment is asked again, and one that stays busy is named", async () => {
  let busy = 2;
  proxy.fault = () => (busy-- > 0 ? { status: 503, code: "SlowDown" } : undefined);
  assert.equal((await namesIn(bucket(), "few/")).length, 5);
  proxy.fault = () => ({ status: 503, code: "SlowDown" });
  await assert.rejects(
    namesIn(bucket(), "few/"),
    failsWith("object-storage-failed", /limits the request rate/),
  );
});

test("what cannot be used is told in words, and nothing that the server says is repeated", async () => {
  await assert.rejects(
    namesIn(bucket({ bucket: "none" }), ""),
    failsWith("object-storage-failed", /no such bucket/),
  );
  proxy.fault = () => ({ status: 403, code: "AccessDenied" });
  await assert.rejects(namesIn(bucket(), ""), failsWith("object-storage-failed", /access is denied/));
  await assert.rejects(bucket().look(LARGE), failsWith("object-storage-failed", /access is denied/));
  proxy.fault = () => ({ status: 403, code: "InvalidAccessKeyId" });
  await assert.rejects(namesIn(bucket(), ""), failsWith("object-storage-failed", /rejects the credentials/));
  const nowhere = bucket({ endpoint: "http://name:password@127.0.0.1:1" });
  await assert.rejects(
    namesIn(nowhere, ""),
    failsWith("object-storage-failed", /at http:\/\/127.0.0.1:1: the connection was refused/),
  );
});

test("a run that is to stop is not kept by a server", async () => {
  const stop = new AbortController();
  const store = bucket({}, stop.signal);
  stop.abort(new Error("stopped"));
  await assert.rejects(bytesOf(store.read(LARGE, CONTENT.length)), /stopped/);
});
