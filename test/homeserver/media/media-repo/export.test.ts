import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { MigrationError } from "../../../../src/errors.ts";
import { exportMediaRepo, inspectMediaRepo } from "../../../../src/homeserver/media/media-repo/export.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { realHttp } from "../../../../src/system/http/http.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { type MediaRepoBehaviour, startMediaRepo } from "../../../support/media-repo-server.ts";
import { Recorder } from "../../../support/recorder.ts";
import { resultOf, synlift } from "../../../support/synlift.ts";

const TOKEN = "syt_geheim";

function archiveOf(vector: string): Record<string, Buffer> {
  const folder = fileURLToPath(new URL(`../../../vectors/media-archive/${vector}/archive`, import.meta.url));
  const names = readdirSync(folder).toSorted((one, other) => (one < other ? 1 : -1));
  assert.ok(names.length > 1);
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
}

async function world(t: TestContext, given: Partial<MediaRepoBehaviour> = {}) {
  const behaviour: MediaRepoBehaviour = {
    ...{ token: TOKEN, serverName: "example.org", parts: archiveOf("go-v2"), looks: 3, fault: "" },
    ...{ held: { files: 5, bytes: 2_000 }, breaks: undefined, instead: undefined },
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
  const asked = (serverName = "example.org", token = TOKEN) => ({
    ...{ repo: { url: server.url, token }, serverName, folder },
  });
  return {
    ...{ behaviour, folder, progress, tools, asked, url: server.url, questions: server.asked },
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
  assert.deepEqual(held, { files: 5, bytes: 2_000 });
  assert.deepEqual([archive?.parts, archive?.uploads], [4, 5]);
  assert.deepEqual(
    findings.map(({ id, level }) => `${id} ${level}`),
    ["media-archive ok"],
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
  assert.equal(one.questions.length, questions, "what is finished is not asked for again");
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

test("a failed task is told in its own words, and forgotten: the next run begins another", async (t) => {
  const one = await world(t, { fault: `no datastore\nfor ${TOKEN}` });
  await assert.rejects(one.run(), failing("program-failed", /could not make the export: no datastore for …/));
  one.behaviour.fault = "";
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.equal(one.starts(), 2);
});

test("a task that it no longer knows, or that makes nothing, is a failed one", async (t) => {
  const gone = await world(t, { instead: { path: /^\/tasks/, status: 404, times: 1 } });
  await assert.rejects(gone.run(), failing("program-failed", /the task no longer exists/));
  const nothing = await world(t, { parts: {} });
  await assert.rejects(nothing.run(), failing("program-failed", /nothing was made/));
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
  await assert.rejects(
    (
      await world(t, { instead: { path: /export/, status: 400, body: "archiving is not enabled", times: 1 } })
    ).run(),
    failing("connection-failed", /archiving\.enabled/),
  );
  const unknown = await world(t);
  await assert.rejects(unknown.run("other.example"), failing("bad-usage", /does not serve other\.example/));
  const empty = await world(t, { held: { files: 0, bytes: 0 } });
  await assert.rejects(empty.run(), failing("bad-usage", /has no media of example\.org/));
  assert.equal(empty.starts(), 0);
});

test("it is asked again when it says that it was asked too often", async (t) => {
  const one = await world(t, { instead: { path: /\/part\//, status: 429, times: 3 } });
  assert.equal((await one.run()).archive?.uploads, 5);
  assert.deepEqual(one.fetched(), ["1", "1", "1", "1", "2", "3", "4"]);
});

test("an archive that is not what its manifest says, or has none, is damaged", async (t) => {
  const wrong = await world(t, { parts: archiveOf("wrong-hash"), held: { files: 1, bytes: 1 } });
  await assert.rejects(wrong.run(), failing("archive-damaged", /begins another export/));
  const parts = archiveOf("go-v2");
  delete parts["export-manifest.tgz"];
  await assert.rejects((await world(t, { parts })).run(), failing("archive-damaged", /no manifest\.json/));
});

test("an archive with fewer uploads than were held is a warning", async (t) => {
  const { findings } = await (await world(t, { held: { files: 7, bytes: 3_000 } })).run();
  assert.deepEqual(findings.at(-1)?.level, "warning");
  assert.match(findings.at(-1)!.sentence, /2 of 7 files .* are not in the archive/);
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
  assert.match(findings[0]!.sentence, /holds 5 files, 2\.0 KiB of example\.org: they would be exported/);
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
  assert.deepEqual(resultOf(ran).details["held"], { files: 5, bytes: 2_000 });
  const again = await synlift([...args, "--out", one.folder]);
  assert.match(again.stdout, /for restore: --media-archive/);
  assert.doesNotMatch(ran.stdout + ran.stderr + again.stdout + again.stderr, /geheim|secret\d/);
  const looked = await synlift([...args, "--out", join(one.folder, "other"), "--dry-run"]);
  assert.match(looked.stdout, /nothing was changed/);
});
