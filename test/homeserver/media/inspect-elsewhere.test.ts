import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { uploadPath } from "../../../src/homeserver/media/store/layout.ts";
import { type Http, realHttp } from "../../../src/system/http/http.ts";
import { S3Server } from "../../support/lab/s3-server.ts";
import { mediaInSqlite } from "../../support/media-database.ts";
import { findingOf, MediaHome, told } from "./inspected-media.ts";

const database = mediaInSqlite("new");

const home = () => new MediaHome(database).upload("AAaaFirst", "first").upload("BBbbSecond", "second one");

const HEALTHY = ["media-compared ok", "media-size ok", "media-largest ok", "media-remote ok"];

const S3 = `media_storage_providers:
- module: s3_storage_provider.S3StorageProviderBackend
  store_local: true
  store_remote: true
  store_synchronous: true
  config: {bucket: media, access_key_id: geheim, secret_access_key: geheimer}
`;

const OTHER = S3.replace("s3_storage_provider.S3StorageProviderBackend", "my_storage.Provider");

test("an upload that is not here may be in a provider that we cannot read: a note, and no key is shown", async () => {
  const one = home();
  const full = await one.inspect({ settings: OTHER });
  assert.deepEqual(told(full), [...HEALTHY, "media-provider note"]);
  rmSync(join(one.store, uploadPath("AAaaFirst")!));
  const looked = await one.inspect({ settings: OTHER });
  assert.deepEqual(told(looked), ["media-missing note", ...HEALTHY.slice(1), "media-provider note"]);
  const places = { storeLocal: true, storeRemote: true, folder: null, bucket: null };
  assert.deepEqual(looked.facts.providers, [{ module: "my_storage.Provider", ...places }]);
  assert.doesNotMatch(JSON.stringify(looked), /geheim/);
});

test("an upload that only a bucket has is no fault, and a bucket that cannot be used is a blocker without a key", async () => {
  const server = await S3Server.start();
  try {
    await server.makeBucket("media");
    const settings = S3.replace("{bucket", `{endpoint_url: "${server.url}", prefix: hs/, bucket`);
    const one = home();
    rmSync(join(one.store, uploadPath("AAaaFirst")!));
    const missing = await one.inspect({ settings });
    assert.deepEqual(told(missing), ["media-missing warning", ...HEALTHY.slice(1), "media-provider note"]);
    await server.put("media", `hs/${uploadPath("AAaaFirst")!}`, "firs");
    assert.equal((await one.inspect({ settings })).facts.compared?.missing, 1, "one of another size is none");
    await server.put("media", `hs/${uploadPath("AAaaFirst")!}`, "first");
    const looked = await one.inspect({ settings });
    assert.deepEqual(told(looked), [
      ...["media-compared ok", "media-in-provider note"],
      ...[...HEALTHY.slice(1), "media-provider note"],
    ]);
    assert.deepEqual([looked.facts.compared?.provided, looked.facts.packed?.bytes], [1, 15]);
    const nowhere = await one.inspect({ settings: settings.replace("bucket: media", "bucket: none") });
    assert.match(findingOf(nowhere, "media-check-incomplete")!.sentence, /no such bucket/);
    assert.doesNotMatch(JSON.stringify([looked, nowhere]), /geheim/);
  } finally {
    await server.stop();
  }
});

test("where Synapse keeps a second copy in a folder, uploads are looked for there", async () => {
  const settings = {
    "backup_media_store_path: backup\n": "file_system",
    "media_storage_providers: [{module: file_system, store_local: true, config: {directory: backup}}]\n":
      "file_system",
  };
  for (const [lines, module] of Object.entries(settings)) {
    const one = home();
    rmSync(join(one.store, uploadPath("AAaaFirst")!));
    one.file("../backup/local_content/AA/aa/First", "first");
    const looked = await one.inspect({ settings: lines });
    assert.deepEqual(told(looked), [
      ...["media-compared ok", "media-in-provider note"],
      ...[...HEALTHY.slice(1), "media-provider note"],
    ]);
    assert.match(findingOf(looked, "media-in-provider")!.evidence![0]!, /\/backup$/);
    assert.equal(looked.facts.providers[0]?.module, module);
    rmSync(join(one.folder, "backup"), { recursive: true });
    const without = await one.inspect({ settings: lines });
    assert.equal(findingOf(without, "media-missing")?.level, "warning");
  }
});

test("providers that are none, in a broken configuration, are passed over", async () => {
  const looked = await home().inspect({
    settings: "media_storage_providers: [1, {module: 2}, [x], {config: {}}]\n",
  });
  assert.deepEqual(told(looked), HEALTHY);
});

test("media that Synapse does not keep here at all is a warning", async () => {
  const one = home();
  const off = await one.inspect({ settings: `${S3}enable_local_media_storage: false\n` });
  assert.deepEqual(told(off), [...HEALTHY, "media-provider note", "media-external warning"]);
  const worker = await one.inspect({ settings: "enable_media_repo: false\n" });
  assert.deepEqual(told(worker), [...HEALTHY, "media-external note"], "a worker keeps it in the same place");
  const none = await new MediaHome(database).inspect({ settings: "enable_media_repo: false\n" });
  assert.equal(findingOf(none, "media-external")?.level, "warning");
});

/** Speaks HTTP as matrix-media-repo does; answers with its address. */
async function mediaRepo(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const TOKEN = "syt_geheim";
const USAGE = {
  raw_bytes: { total: 5446, media: 5000, thumbnails: 446 },
  raw_counts: { total: 7, media: 4, thumbnails: 3 },
};

const quick: Http = { ...realHttp, get: (url, options) => realHttp.get(url, { ...options, timeout: 300 }) };

/** What is told of a matrix-media-repo; the token in nothing of it. */
async function asked(url: string, token = TOKEN) {
  const looked = await new MediaHome(database).inspect({
    mediaRepo: { url, token },
    settings: "enable_media_repo: false\n",
    tools: { http: quick },
  });
  assert.doesNotMatch(JSON.stringify(looked), /geheim/);
  return { looked, finding: findingOf(looked, "media-repo")!, usage: looked.facts.mediaRepo };
}

test("a matrix-media-repo tells how much it holds, asked with the token and, if need be, by the server's name", async (t) => {
  const hosts: string[] = [];
  const url = await mediaRepo(t, (request, response) => {
    hosts.push(request.headers.host!);
    assert.equal(request.url, "/_matrix/media/unstable/admin/usage/example.org");
    assert.equal(request.headers.authorization, `Bearer ${TOKEN}`);
    if (request.headers.host === "example.org") response.end(JSON.stringify(USAGE));
    else response.writeHead(502).end('{"errcode":"M_UNKNOWN","error":"Review server logs to continue"}');
  });
  const { looked, finding, usage } = await asked(`${url}/`);
  assert.deepEqual(hosts, [new URL(url).host, "example.org"]);
  assert.equal(finding.level, "note");
  assert.equal(finding.sentence, `matrix-media-repo at ${url} holds 4 files of example.org, 4.9 KiB`);
  assert.deepEqual(usage, { media: { files: 4, bytes: 5000 }, thumbnails: { files: 3, bytes: 446 } });
  assert.equal(findingOf(looked, "media-external")?.level, "note");
  // Where Synapse kept its media before, all of that may still be in its store.
  const older = await home().inspect({
    mediaRepo: { url, token: TOKEN },
    settings: "enable_media_repo: false\n",
    tools: { http: quick },
  });
  assert.match(findingOf(older, "media-external")!.sentence, /matrix-media-repo stores the media/);
});

test("a matrix-media-repo that fails is a warning with its reason, and the rest is told", async (t) => {
  const url = await mediaRepo(t, ({ url }, response) => {
    const [, how] = url!.split("/");
    if (how === "hang") return;
    if (how === "half") response.writeHead(200, { "content-length": "99" }).write('{"raw_bytes"');
    else if (how === "reset") response.destroy();
    else if (how === "garbage") response.end("<html>hello</html>");
    else if (how === "lies")
      response.end(JSON.stringify({ ...USAGE, raw_counts: { media: -1, thumbnails: "x" } }));
    else if (how === "endless") response.end(`[${"1,".repeat(100_000)}1]`);
    else if (how === "redirect") response.writeHead(302, { location: "http://192.0.2.1/" }).end();
    else response.writeHead(Number(how)).end(`{"error":"token ${TOKEN}"}`);
  });
  const reasons: Record<string, RegExp> = {
    hang: /no complete response within 0.3 s/,
    half: /no complete response within 0.3 s/,
    reset: /gave no answer: /,
    garbage: /returned an unexpected response/,
    lies: /returned an unexpected response/,
    endless: /the response has more than/,
    redirect: /answered with status 302/,
    401: /refused the access token/,
    403: /refused the access token/,
    404: /does not have this endpoint/,
    500: /answered with status 500/,
    502: /does not serve example.org/,
  };
  for (const [how, reason] of Object.entries(reasons)) {
    const { looked, finding, usage } = await asked(`${url}/${how}`);
    assert.equal(finding.level, "warning", how);
    assert.match(finding.sentence, reason);
    assert.ok(finding.hint);
    assert.equal(usage, null);
    assert.equal(findingOf(looked, "media-external")?.level, "warning");
    assert.ok(findingOf(looked, "media-size"));
  }
});

test("an address or a token that is none is not tried", async () => {
  for (const url of ["", "media.example", "ftp://media.example", "http://", "file:///etc/passwd"])
    assert.match((await asked(url)).finding.sentence, /no http or https URL/, url);
  for (const token of ["", "geheim geheim", "geheim\r\nX-Evil: yes", "gehéim"])
    assert.match((await asked("http://127.0.0.1:9", token)).finding.sentence, /was not queried/);
  assert.match(
    (await asked("http://me:geheim@127.0.0.1:9/")).finding.sentence,
    /127\.0\.0\.1:9 gave no answer/,
  );
});
