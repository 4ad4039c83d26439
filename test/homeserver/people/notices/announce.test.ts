import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  announce,
  FOR_EVERYBODY,
  FOR_THOSE_AT_RISK,
} from "../../../../src/homeserver/people/notices/announce.ts";
import { readText, readToken, readUrl } from "../../../../src/homeserver/people/notices/inputs.ts";
import { textForEverybody, textForThoseAtRisk } from "../../../../src/homeserver/people/notices/texts.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";

const OCCASION = { serverName: "example.org", when: "2026-12-01 02:00 UTC", outage: "about an hour" };

const write = (folder: string, occasion = OCCASION as Parameters<typeof announce>[1], dryRun = false) =>
  announce(folder, occasion, dryRun, realFiles);

test("both texts tell when, how long, what to do, and never to press reset", () => {
  for (const text of [textForEverybody(OCCASION), textForThoseAtRisk(OCCASION)]) {
    for (const part of ["example.org", "2026-12-01 02:00 UTC", "about an hour", "Settings", "Encryption"])
      assert.ok(text.includes(part), part);
    assert.match(text, /do not press "reset"/);
    assert.match(text, /recovery key/);
    assert.doesNotMatch(text, /undefined/);
  }
  assert.match(
    textForThoseAtRisk({ serverName: "example.org" }),
    /We will tell you the day and the hour in time/,
  );
});

test("the texts are written into a folder of one's own, and written again only where they are gone", async () => {
  const folder = join(temporaryFolder("announce"), "a", "b");
  const first = await write(folder);
  assert.deepEqual(first.kept, []);
  for (const path of first.paths) assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(readFileSync(join(folder, FOR_THOSE_AT_RISK), "utf8"), first.atRisk);
  assert.deepEqual((await write(folder)).kept, []);
});

test("a text that somebody rewrote is kept, and is the one that is sent", async () => {
  const folder = temporaryFolder("announce");
  await write(folder);
  const own =
    "Moving on 2026-12-01 02:00 UTC for about an hour. Please back up your keys, love, the admins\n";
  writeFileSync(join(folder, FOR_THOSE_AT_RISK), own);
  const again = await write(folder);
  assert.equal(again.atRisk, own);
  assert.deepEqual(again.kept, [join(folder, FOR_THOSE_AT_RISK)]);
  assert.equal(readFileSync(join(folder, FOR_THOSE_AT_RISK), "utf8"), own);
});

test("a text of an earlier date is not sent for a later one", async () => {
  const folder = temporaryFolder("announce");
  await write(folder);
  await assert.rejects(write(folder, { ...OCCASION, when: "2026-12-08 02:00 UTC" }), {
    code: "bad-usage",
    message: `${join(folder, FOR_EVERYBODY)} already exists and does not contain "2026-12-08 02:00 UTC"`,
  });
});

test("a dry run writes nothing", async () => {
  const folder = join(temporaryFolder("announce"), "new");
  const { atRisk } = await write(folder, OCCASION, true);
  assert.equal(atRisk, textForThoseAtRisk(OCCASION));
  assert.equal(existsSync(folder), false);
});

test("a text or a token that cannot be right is refused, and the token is not shown", async () => {
  const folder = temporaryFolder("announce");
  const file = (content: string | Uint8Array) => {
    const path = join(folder, "file");
    writeFileSync(path, content);
    return path;
  };
  for (const wrong of ["", " \n", "x".repeat(40_000), Uint8Array.of(0xff, 0xfe, 0x41)])
    await assert.rejects(readText(file(wrong), realFiles), { code: "bad-usage" });
  for (const wrong of ["", "syt_one\nsyt_two\n", "Bearer syt_one", "syt_ünïcödé"])
    await assert.rejects(readToken(file(wrong), realFiles), (error: Error & { code?: string }) => {
      return error.code === "bad-usage" && !error.message.includes("syt_");
    });
  assert.equal(await readToken(file("syt_good\r\n"), realFiles), "syt_good");
  await assert.rejects(readToken(join(folder, "none"), realFiles), { code: "file-missing" });
});

test("an address of a server is taken without its last slash, and with nothing secret in it", () => {
  assert.equal(readUrl("https://matrix.example.org/"), "https://matrix.example.org");
  assert.equal(readUrl("http://127.0.0.1:8008"), "http://127.0.0.1:8008");
  for (const wrong of [
    "matrix.example.org",
    "ftp://a.example",
    "https://me:secret@a.example",
    "https://a.example?x=1",
  ])
    assert.throws(
      () => readUrl(wrong),
      (error: Error & { code?: string }) => error.code === "bad-usage" && !error.message.includes("secret"),
    );
});
