import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { MigrationError } from "../../../../src/errors.ts";
import { ManifestFile } from "../../../../src/homeserver/media/archive/manifest-file.ts";
import { assertHoldsUploads, findManifest } from "../../../../src/homeserver/media/archive/read.ts";
import { restoreMediaArchive } from "../../../../src/homeserver/media/archive/restore.ts";
import { archiveInFolder } from "../../../../src/homeserver/media/archive/source.ts";
import { exportMediaRepo, inspectMediaRepo } from "../../../../src/homeserver/media/media-repo/export.ts";
import { compress } from "../../../../src/pipeline/compress.ts";
import { packTar } from "../../../../src/pipeline/tar.ts";
import type { Finding } from "../../../../src/report/finding.ts";
import { assertFinished } from "../../../../src/homeserver/media/media-repo/journal.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { realHttp } from "../../../../src/system/http/http.ts";
import { collect } from "../../../support/bytes.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import {
  type MediaRepoBehaviour,
  startMediaRepo,
  type StoredUpload,
} from "../../../support/media-repo-server.ts";
import { Recorder } from "../../../support/recorder.ts";
import { resultOf, synlift } from "../../../support/synlift.ts";

const TOKEN = "syt_geheim";

const folderOf = (vector: string) =>
  fileURLToPath(new URL(`../../../vectors/media-archive/${vector}/archive`, import.meta.url));

function archiveOf(vector: string): Record<string, Buffer> {
  const folder = folderOf(vector);
  const names = readdirSync(folder).toSorted((one, other) => (one < other ? 1 : -1));
  assert.ok(names.length > 1);
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
}

/** The listing of a matrix-media-repo that holds what is in an archive, and hands it out in exports alone. */
async function listingOf(vector: string): Promise<Record<string, StoredUpload>> {
  const { byFile } = await findManifest(archiveInFolder(folderOf(vector), realFiles));
  return Object.fromEntries(
    [...byFile.values()]
      .flat()
      .map(({ media_id: id, size_bytes: size, sha256 }) => [id, { size, sha256: sha256.toLowerCase() }]),
  );
}

async function world(t: TestContext, given: Partial<MediaRepoBehaviour> = {}) {
  const behaviour: MediaRepoBehaviour = {
    token: TOKEN,
    serverName: "example.org",
    parts: archiveOf("go-v2"),
    looks: 3,
    fault: "",
    uploads: given.uploads ?? (await listingOf("go-v2")),
    breaks: undefined,
    instead: undefined,
    ...given,
  };
  const server = await startMediaRepo(t, behaviour);
  const folder = join(temporaryFolder("media-export"), "archive");
  const progress = new Recorder();
  let waited = 0;
  let elapsed = 0;
  const machine = machineWith({
    elapsed: () => elapsed,
    wait() {
      waited += 1;
      elapsed += 60_000;
      return Promise.resolve();
    },
  });
  const tools = { files: realFiles, http: realHttp, machine, signal: new AbortController().signal };
  const asked = (serverName = "example.org", token = TOKEN, leaveOut: ReadonlySet<string> = new Set()) => ({
    repo: { url: server.url, token },
    serverName,
    folder,
    leaveOut,
  });
  return {
    behaviour,
    folder,
    progress,
    tools,
    asked,
    url: server.url,
    questions: server.asked,
    waits: () => waited,
    run: (...about: Parameters<typeof asked>) => exportMediaRepo(asked(...about), tools, progress),
    starts: () => server.asked.filter((question) => question.startsWith("POST")).length,
    fetched: () =>
      server.asked.filter((question) => question.includes("/part/")).map((question) => question.at(-1)),
  };
}

/** That it fails so, in words that say nothing secret. */
const failing = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MigrationError, String(error));
  assert.deepEqual(
    [error.code, words.test(`${error.message}\n${error.hint ?? ""}`)],
    [code, true],
    error.message,
  );
  assert.doesNotMatch(`${error.message}${error.hint ?? ""}`, /geheim|secret\d/);
  return true;
};

test("an export is begun, waited for, fetched, and read as strictly as any archive; its files are private", async (t) => {
  const one = await world(t);
  const { held, archive, findings } = await one.run();
  assert.deepEqual(held, { files: 5, bytes: heldBytes(one) });
  assert.deepEqual([archive?.parts, archive?.uploads, archive?.fetched], [4, 5, 0]);
  assert.deepEqual(
    findings.map(({ id, level }) => `${id} ${level}`),
    ["media-archive ok", "media-repo-compared ok"],
  );
  assert.deepEqual(one.progress.ended, ["media-export/make", "media-export/fetch", "media-export/check"]);
  for (const [name, bytes] of Object.entries(one.behaviour.parts)) {
    assert.deepEqual(readFileSync(join(one.folder, name)), bytes);
    assert.equal(statSync(join(one.folder, name)).mode & 0o777, 0o600);
  }
  assert.equal(statSync(one.folder).mode & 0o777, 0o700);
  assert.equal(statSync(join(one.folder, ".media-export/export.json")).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(one.folder).toSorted(), [
    ".media-export",
    ...Object.keys(one.behaviour.parts).toSorted(),
  ]);
});

test("a part that breaks off is no part; the next run goes on with the same export and keeps what is whole", async (t) => {
  const one = await world(t, { breaks: { name: "export-part-2.tgz", after: 100 } });
  await assert.rejects(one.run(), failing("connection-failed", /run the same command again/));
  assert.deepEqual(readdirSync(one.folder).toSorted(), [".media-export", "export-part-3.tgz"]);
  one.behaviour.breaks = undefined;
  writeFileSync(join(one.folder, "export-part-1.tgz"), "short");
  const { archive } = await one.run();
  assert.equal(archive?.uploads, 5);
  assert.equal(one.starts(), 1);
  assert.deepEqual(one.fetched(), ["1", "2", "2", "2", "3", "4"], "once more by the server's name");
  assert.deepEqual(one.progress.remarks, ["media-export/fetch: 1 of 4 parts are complete already"]);
  const questions = one.questions.length;
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.deepEqual(
    [...new Set(one.questions.slice(questions))],
    ["GET /usage/example.org/uploads"],
    "what is finished is not asked for again; only what came since",
  );
});

test("a run that is stopped while the export is made waits on for that one", async (t) => {
  const one = await world(t, { looks: 5 });
  const stop = new AbortController();
  const machine = machineWith({
    wait() {
      stop.abort(new Error("stopped"));
      return Promise.reject(new Error("stopped"));
    },
  });
  await assert.rejects(
    exportMediaRepo(one.asked(), { ...one.tools, machine, signal: stop.signal }, one.progress),
    /stopped/,
  );
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.equal(one.starts(), 1);
});

test("an export of which nothing more comes for an hour is not waited for any longer", async (t) => {
  const one = await world(t, { looks: 1_000_000, parts: {} });
  await assert.rejects(one.run(), failing("program-failed", /for an hour/));
  assert.equal(one.waits(), 61);
});

test("who is no administrator of it, a server it does not have, and no exports at all are told apart", async (t) => {
  const refused = await world(t);
  await assert.rejects(
    refused.run("example.org", "syt_geheim_other"),
    failing("permission-denied", /`admins`/),
  );
  await assert.rejects(
    (
      await world(t, { instead: { path: /export/, status: 400, body: "for another server", times: 1 } })
    ).run(),
    failing("permission-denied", /`admins`/),
  );
  const unknown = await world(t);
  await assert.rejects(unknown.run("other.example"), failing("bad-usage", /does not serve other\.example/));
  const empty = await world(t, { uploads: {} });
  await assert.rejects(empty.run(), failing("bad-usage", /has no media of example\.org/));
  assert.equal(empty.starts(), 0);
});

test("it is asked again when it says that it was asked too often", async (t) => {
  const one = await world(t, { instead: { path: /\/part\//, status: 429, times: 3 } });
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.deepEqual(one.fetched(), ["1", "1", "1", "1", "2", "3", "4"]);
});

test("an archive that is not what its manifest says, or has none, is damaged", async (t) => {
  const wrong = await world(t, { parts: archiveOf("part-cut") });
  await assert.rejects(wrong.run(), failing("archive-damaged", /begins another export/));
  const parts = archiveOf("go-v2");
  delete parts["export-manifest.tgz"];
  await assert.rejects((await world(t, { parts })).run(), failing("archive-damaged", /no manifest\.json/));
});

/** What current versions make: an export whose task is finished without an error, and that holds nothing. */
async function emptyExport(): Promise<Record<string, Buffer>> {
  const manifest = new ManifestFile({ entity: "example.org", createdTs: 1 });
  const tar = await collect(compress(1, 1)(packTar([])));
  return {
    "export-part-1.tgz": Buffer.from(tar),
    "export-manifest.tgz": Buffer.concat(await manifest.finish()),
  };
}

/** Uploads that it hands out one by one. */
function uploadsOf(names: readonly string[]): Record<string, StoredUpload> {
  return Object.fromEntries(
    names.map((name) => {
      const content = Buffer.from(`the content of ${name}`);
      const sha256 = createHash("sha256").update(content).digest("hex");
      return [name, { size: content.length, sha256, content }];
    }),
  );
}

const NAMES = ["Anemone", "Borretsch", "Clematis", "Distel"];
const ids = (findings: readonly Finding[]) => findings.map(({ id, level }) => `${id} ${level}`);
const heldBytes = ({ behaviour }: { behaviour: MediaRepoBehaviour }) =>
  Object.values(behaviour.uploads).reduce((sum, { size }) => sum + size, 0);
const downloads = ({ questions }: { questions: readonly string[] }) =>
  questions.filter((question) => question.includes("/v3/download/"));

test("where the export is empty each upload is fetched, checked against its record, and the archive can be restored", async (t) => {
  const one = await world(t, { parts: await emptyExport(), uploads: uploadsOf(NAMES) });
  const { archive, findings } = await one.run();
  assert.deepEqual([archive?.uploads, archive?.fetched], [4, 4]);
  assert.deepEqual(ids(findings), ["media-archive ok", "media-repo-compared ok"]);
  assert.ok(one.progress.notes.some((note) => note.includes("4 of 4; they are fetched one by one")));
  const store = temporaryFolder("store");
  const restored = await restoreMediaArchive(
    archiveInFolder(one.folder, realFiles),
    { store, serverName: "example.org" },
    realFiles,
  );
  assert.equal(restored.written, 4);
  assert.equal(readFileSync(join(store, "local_content/An/em/one"), "utf8"), "the content of Anemone");
});

test("what is quarantined is counted and named; what is lost or damaged there is named with its reason", async (t) => {
  const uploads = uploadsOf([...NAMES, "Efeu", "Farn"]);
  Object.assign(uploads["Anemone"]!, { quarantined: true });
  Object.assign(uploads["Borretsch"]!, { status: 500 });
  Object.assign(uploads["Clematis"]!, { content: Buffer.from("the content of clematis") });
  Object.assign(uploads["Distel"]!, { content: Buffer.from("the") });
  delete uploads["Efeu"]!.content;
  const one = await world(t, { parts: await emptyExport(), uploads });
  const { archive, findings } = await one.run();
  assert.equal(archive?.uploads, 1);
  assert.deepEqual(ids(findings), [
    "media-archive ok",
    "media-repo-compared ok",
    "media-archive-short warning",
    "media-quarantined note",
  ]);
  const [, , short, quarantined] = findings;
  assert.match(short!.sentence, /: 4 of 6$/);
  assert.deepEqual(
    short!.evidence?.map((line) => line.split(":")[0]),
    ["Borretsch", "Clematis", "Distel", "Efeu"],
  );
  assert.match(short!.evidence.join(), /status 500.*hash.*broke off.*does not find it/);
  assert.deepEqual(quarantined!.evidence, ["Anemone"]);
  // Once they are put back, they alone are fetched.
  const before = downloads(one).length;
  Object.assign(uploads, uploadsOf(["Borretsch", "Clematis", "Distel", "Efeu"]));
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.equal(downloads(one).length - before, 4);
});

test("an export that broke off at a lost file is completed with all but that one", async (t) => {
  const uploads = { ...(await listingOf("go-v2")), ...uploadsOf(NAMES) };
  Object.assign(uploads["Anemone"]!, { status: 500 });
  const one = await world(t, { uploads, fault: `open /aa/bb: no such file\nfor ${TOKEN}` });
  const { archive, findings } = await one.run();
  assert.deepEqual([archive?.uploads, archive?.fetched], [8, 3]);
  assert.deepEqual(ids(findings), [
    "media-archive ok",
    "media-repo-compared ok",
    "media-archive-short warning",
  ]);
  assert.ok(
    one.progress.notes.some((note) => note.endsWith("no such file for …")),
    one.progress.notes.join(),
  );
  assert.equal((await one.run()).archive?.uploads, 8, "and again, with the manifest made here");
  assert.equal(one.starts(), 1);
});

test("no export at all, an unknown task, one that made nothing, and one that cannot be read are no obstacle", async (t) => {
  const uploads = () => uploadsOf(NAMES);
  const instead = (path: RegExp, status: number, body = "") => ({ path, status, body, times: 1 });
  const cut = archiveOf("part-cut");
  const cases: Partial<MediaRepoBehaviour>[] = [
    { instead: instead(/export/, 400, "archiving is not enabled") },
    { instead: instead(/^\/tasks/, 404), parts: {} },
    { parts: {} },
    { parts: cut, fault: "broke off" },
  ];
  for (const given of cases) {
    const one = await world(t, { uploads: uploads(), ...given });
    assert.equal((await one.run()).archive?.uploads, 4);
    assert.equal((await one.run()).archive?.fetched, 4);
    assert.equal(downloads(one).length, 4);
  }
});

test("not one upload fetched is a failure, and nothing that restore would take", async (t) => {
  const uploads = uploadsOf(NAMES);
  for (const upload of Object.values(uploads)) upload.status = 500;
  const one = await world(t, { parts: await emptyExport(), uploads });
  await assert.rejects(one.run(), failing("program-failed", /none of the 4 uploads .* status 500/));
  await assert.rejects(one.run(), failing("program-failed", /none of the 4 uploads/));
  await assert.rejects(assertFinished(one.folder, realFiles), failing("archive-damaged", /not finished/));
  await assert.rejects(
    assertHoldsUploads(archiveInFolder(one.folder, realFiles)),
    failing("archive-damaged", /names no upload/),
  );
});

test("an interrupted run keeps what it fetched; a connection that is gone stops it", async (t) => {
  const uploads = uploadsOf(
    Array.from({ length: 40 }, (_, index) => `Upload${String(index).padStart(2, "0")}`),
  );
  const one = await world(t, { parts: await emptyExport(), uploads });
  // All but the first break off: whether they do because of the file or the line cannot be told at once.
  for (const upload of Object.values(uploads).slice(8)) upload.content = Buffer.from("t");
  await assert.rejects(one.run(), failing("connection-failed", /downloads in a row/));
  await assert.rejects(assertFinished(one.folder, realFiles), failing("archive-damaged", /not finished/));
  Object.assign(uploads, uploadsOf(Object.keys(uploads)));
  const before = downloads(one).length;
  assert.equal((await one.run()).archive?.uploads, 40);
  await assertFinished(one.folder, realFiles);
  const again = downloads(one).length - before;
  assert.ok(again <= 32, `${again} were fetched again`);
  assert.deepEqual(
    readdirSync(join(one.folder, ".media-export")).filter((name) => name === "uploads"),
    [],
  );
});

test("its limit of downloads is waited for, and said once", async (t) => {
  const uploads = uploadsOf(NAMES);
  uploads["Anemone"]!.limited = 4;
  uploads["Distel"]!.limited = 1_000_000;
  const one = await world(t, { parts: await emptyExport(), uploads });
  const { archive, findings } = await one.run();
  assert.equal(archive?.uploads, 3);
  assert.match(findings.at(-1)!.evidence!.join(), /Distel: its limit of downloads/);
  assert.equal(one.progress.notes.filter((note) => note.includes("rateLimit.enabled")).length, 1);
});

test("what came since the last run is added; uploads that are not wanted are left out, also of its own export", async (t) => {
  const uploads = { ...(await listingOf("go-v2")), ...uploadsOf(["Anemone"]) };
  const [first] = Object.keys(uploads);
  const one = await world(t, { uploads });
  const leftOut = new Set([first!]);
  const { archive, findings } = await one.run("example.org", TOKEN, leftOut);
  assert.equal(archive?.uploads, 5);
  assert.deepEqual(ids(findings).at(-1), "media-left-out note");
  Object.assign(uploads, uploadsOf(["Borretsch"]));
  const later = await one.run("example.org", TOKEN, leftOut);
  assert.deepEqual([later.archive?.uploads, later.archive?.fetched], [6, 2]);
  const { byFile } = await findManifest(archiveInFolder(one.folder, realFiles));
  assert.ok(![...byFile.values()].flat().some(({ media_id: id }) => id === first));
});

test("ids that are no file names, and sizes that lie, do no harm", async (t) => {
  const uploads = uploadsOf(["../../evil", "a/b", "€".repeat(60)]);
  uploads["zero"] = { size: 0, sha256: createHash("sha256").digest("hex"), content: Buffer.alloc(0) };
  const one = await world(t, { parts: await emptyExport(), uploads });
  assert.equal((await one.run()).archive?.uploads, 4);
  assert.deepEqual(readdirSync(one.folder).toSorted(), [
    ".media-export",
    "export-manifest.tgz",
    "export-part-1.tgz",
    "uploads-part-1.tgz",
  ]);
});

test("names that lead out of the folder are refused, before anything is fetched", async (t) => {
  for (const name of ["../evil.tgz", ".hidden", "a/b.tgz", ""]) {
    const one = await world(t, { parts: { [name]: Buffer.from("x") } });
    await assert.rejects(one.run(), failing("archive-damaged", /not a safe file name/));
    assert.deepEqual(one.fetched(), []);
  }
});

test("a folder with something else in it, or with the export of another server, is left alone", async (t) => {
  const one = await world(t);
  mkdirSync(one.folder, { mode: 0o755 });
  writeFileSync(join(one.folder, "mine"), "");
  await assert.rejects(one.run(), failing("target-not-empty", /new or empty/));
  assert.equal(statSync(one.folder).mode & 0o777, 0o755);
  const other = await world(t);
  mkdirSync(other.folder, { mode: 0o755 });
  await other.run();
  assert.equal(statSync(other.folder).mode & 0o777, 0o700, "one that was empty is made private");
  await assert.rejects(other.run("other.example"), failing("bad-usage", /has an export of example\.org/));
});

test("a look says what would be done, and changes nothing", async (t) => {
  const one = await world(t);
  const { findings, archive } = await inspectMediaRepo(one.asked(), one.tools);
  assert.match(findings[0]!.sentence, /holds 5 files, [\d.]+ \S+ of example\.org: they would be exported/);
  assert.equal(archive, undefined);
  assert.deepEqual([existsSync(one.folder), one.starts()], [false, 0]);
});

test("the command fetches an archive for restore, and shows neither the token nor the export's id", async (t) => {
  const one = await world(t, { looks: 1 });
  const file = join(temporaryFolder("token"), "token");
  writeFileSync(file, `${TOKEN}\n`);
  const args = ["media", "export", "--media-repo", one.url, "--token-file", file, "--server", "example.org"];
  const ran = await synlift([...args, "--out", one.folder, "--json"]);
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual(resultOf(ran).details["held"], { files: 5, bytes: heldBytes(one) });
  const again = await synlift([...args, "--out", one.folder]);
  assert.match(again.stdout, /for restore: --media-archive/);
  assert.doesNotMatch(ran.stdout + ran.stderr + again.stdout + again.stderr, /geheim|secret\d/);
  const list = join(temporaryFolder("list"), "previews");
  writeFileSync(list, "\nmxc://example.org/one\nmxc://other.example/two\n");
  const refused = await synlift([...args, "--out", one.folder, "--leave-out", list]);
  assert.match(refused.stderr, /line 3 is not an MXC URI of/);
  assert.equal(refused.code, 2);
  const looked = await synlift([...args, "--out", join(one.folder, "other"), "--dry-run"]);
  assert.match(looked.stdout, /nothing was changed/);
});
