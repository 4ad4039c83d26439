import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test, type TestContext } from "node:test";
import type { ReceiveOrder } from "../../../src/move/receive/run.ts";
import { noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { lockWith } from "../../support/real-world.ts";
import { startReceiver } from "../../support/receiver.ts";
import { RawClient, sha256Of } from "../../support/receiver-client.ts";
import { makeSmallBundle } from "../../support/small-bundle.ts";

const bundle = temporaryFolder("bundle");
let parts: string[] = [];

before(async () => {
  await makeSmallBundle({ folder: bundle, lock: lockWith(), partSize: 100_000, mediaSize: 400_000 });
  parts = readdirSync(bundle).filter((name) => name.endsWith(".gpg") || name.includes(".part-"));
});

const read = (name: string) => readFileSync(join(bundle, name));

async function receiverFor(t: TestContext, order: Partial<ReceiveOrder> = {}) {
  const server = await startReceiver(order, t);
  const { token, name } = await server.invite("example.org");
  return { server, client: new RawClient(server.origin, token), folder: join(server.folder, name) };
}

test("the manifest comes last, and the bundle is complete: the hook gets its folder, once", async (t) => {
  const said = join(temporaryFolder("hook"), "said");
  const hook = `echo "$SYNLIFT_CUSTOMER $SYNLIFT_FOLDER $SYNLIFT_BUNDLE $SYNLIFT_SUBJECT" >> ${said}`;
  const { server, client, folder } = await receiverFor(t, { hook });
  for (const name of parts) await client.put(name, read(name));
  assert.equal((await client.status()).complete, undefined);
  assert.equal((await client.put("manifest.json", read("manifest.json")))["state"], "arrived");
  const { complete, missing, problems } = await client.status();
  assert.deepEqual([missing, problems], [[], []]);
  await client.put("report.html", Buffer.from("for people"));
  await server.stop();
  const { id, subject } = JSON.parse(read("manifest.json").toString()) as { id: string; subject: string };
  assert.deepEqual([complete?.bundle, complete?.subject], [id, subject]);
  assert.equal(readFileSync(said, "utf8"), `example.org ${folder} ${id} ${subject}\n`);
});

test("a hook that failed is run again at the next start, and one that succeeded is not", async (t) => {
  const said = join(temporaryFolder("hook"), "said");
  const folder = temporaryFolder("incoming");
  const first = await startReceiver({ folder, hook: "exit 3" });
  const { token } = await first.invite("example.org");
  const client = new RawClient(first.origin, token);
  for (const name of [...parts, "manifest.json"]) await client.put(name, read(name));
  await first.stop();
  assert.ok(first.notes.some((note) => /the hook failed, and is run again/.test(note)));
  for (const runs of [1, 1]) {
    const next = await startReceiver({ folder, hook: `echo run >> ${said}` }, t);
    await next.stop();
    assert.equal(readFileSync(said, "utf8"), "run\n".repeat(runs));
  }
});

test("a manifest that comes first has no name until the last of its files has arrived", async (t) => {
  const { client, folder } = await receiverFor(t);
  const waiting = await client.put("manifest.json", read("manifest.json"));
  assert.equal(waiting["state"], "waiting");
  assert.match(String(waiting["message"]), /^the manifest waits for \d+ files: /);
  assert.equal((await client.status()).missing?.length, parts.length);
  const foreign = await client.announce(parts[0]!, 9, sha256Of("foreign"));
  assert.equal(foreign.status, 409, "a file that contradicts the manifest is refused before its bytes");
  for (const name of parts) {
    assert.equal(readdirSync(folder).includes("manifest.json"), false);
    await client.put(name, read(name));
  }
  assert.ok(readFileSync(join(folder, "manifest.json")).equals(read("manifest.json")));
  assert.notEqual((await client.status()).complete, undefined);
});

test("a file that differs from the manifest is named, and the bundle is complete once it was replaced", async (t) => {
  const { client, folder } = await receiverFor(t);
  const [wrong, ...others] = parts;
  await client.put(wrong!, noise(50));
  for (const name of others) await client.put(name, read(name));
  const waiting = await client.put("manifest.json", read("manifest.json"));
  assert.equal(waiting["state"], "waiting");
  assert.match(String(waiting["message"]), new RegExp(`^${wrong!} differ`));
  assert.equal(readdirSync(folder).includes("manifest.json"), false);
  assert.ok((await client.status()).problems.some(({ name }) => name === wrong));
  await client.put(wrong!, read(wrong!));
  const { complete, problems } = await client.status();
  assert.notEqual(complete, undefined);
  assert.deepEqual(problems, []);
});

test("a manifest that is none is refused with a sentence and removed", async (t) => {
  const { client, folder } = await receiverFor(t);
  const bytes = Buffer.from('{"format":"synlift-bundle","version":1,"artifacts":[{"name":"../x"}]}');
  const proof = await client.put("manifest.json", bytes);
  assert.ok(proof["error"] === "request" || proof["error"] === "not-found");
  assert.match((await client.status()).problems[0]!.message, /^manifest\.json is not a manifest/);
  assert.deepEqual(readdirSync(folder), []);
});

test("a part that is taken away again makes the bundle incomplete, and so does its manifest", async (t) => {
  const { client } = await receiverFor(t);
  for (const name of [...parts, "manifest.json"]) await client.put(name, read(name));
  assert.equal((await client.ask("DELETE", `/files/${parts[0]!}`)).status, 204);
  const { complete, missing } = await client.status();
  assert.equal(complete, undefined);
  assert.deepEqual(
    missing?.map(({ name }) => name),
    [parts[0]],
  );
  await client.put(parts[0]!, read(parts[0]!));
  assert.notEqual((await client.status()).complete, undefined);
  await client.ask("DELETE", "/files/manifest.json");
  assert.deepEqual(
    [(await client.status()).complete, (await client.status()).missing],
    [undefined, undefined],
  );
});

test("stopped and started again, everything is where it was, and a partial file goes on", async (t) => {
  const root = temporaryFolder("incoming");
  const first = await startReceiver({ folder: root });
  const { token, name } = await first.invite("example.org");
  const before = new RawClient(first.origin, token);
  await before.put("done", noise(300));
  const bytes = noise(1000);
  const id = `half.${sha256Of(bytes).slice(0, 24)}`;
  await before.announce("half", 1000, sha256Of(bytes));
  await before.piece(id, 0, bytes.subarray(0, 700));
  await first.stop();
  writeFileSync(join(root, ".receive", "uploads", name, "broken.json"), "{");
  const second = await startReceiver({ folder: root }, t);
  const after = new RawClient(second.origin, token);
  assert.deepEqual(
    (await after.status()).files.map(({ name: file, state, received }) => [file, state, received]),
    [
      ["done", "arrived", 300],
      ["half", "partial", 700],
    ],
  );
  await after.piece(id, 700, bytes.subarray(700));
  assert.equal((await after.proof(`/uploads/${id}/proof`))["state"], "arrived");
});

for (const when of ["before it was compared", "after it got its name"])
  test(`killed when a file was complete, ${when}, it is arrived after the next start`, async (t) => {
    const root = temporaryFolder("incoming");
    const first = await startReceiver({ folder: root });
    const { token, name } = await first.invite("example.org");
    const bytes = noise(1000);
    const sha256 = sha256Of(bytes);
    const id = `x.${sha256.slice(0, 24)}`;
    await new RawClient(first.origin, token).announce("x", 1000, sha256);
    await first.stop();
    const [final, partial] = [join(root, name, "x"), join(root, name, `.${id}.partial`)];
    writeFileSync(partial, bytes);
    if (when.startsWith("after")) renameSync(partial, final);
    const second = await startReceiver({ folder: root }, t);
    const client = new RawClient(second.origin, token);
    while ((await client.status()).files[0]?.state === "checking")
      await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((await client.status()).files[0]?.state, "arrived");
    assert.ok(readFileSync(final).equals(bytes));
  });
