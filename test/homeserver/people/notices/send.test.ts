import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { campaignOf, NOTICE_KEY } from "../../../../src/homeserver/people/notices/campaign.ts";
import {
  countUnsent,
  deliverNotices,
  deliveryFinding,
} from "../../../../src/homeserver/people/notices/deliver.ts";
import { NoticeRecord } from "../../../../src/homeserver/people/notices/record.ts";
import { assertAcceptsNotices } from "../../../../src/homeserver/people/notices/server.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { realHttp } from "../../../../src/system/http/http.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import type { System } from "../../../../src/system/system.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { freePort } from "../../../support/lab/server-process.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { NoticeHost, TOKEN } from "../../../support/notice-server.ts";

const PEOPLE = ["@ann:example.org", "@bob:example.org", "@cyd:example.org"];

let host: NoticeHost;
let url: string;
let recordPath: string;
let waits: number[];
let stop: AbortController;

beforeEach(async () => {
  host = new NoticeHost();
  url = await host.start();
  recordPath = join(temporaryFolder("notices"), "notices-sent.json");
  waits = [];
  stop = new AbortController();
});

afterEach(() => host.stop());

interface Asking {
  readonly people?: readonly string[];
  readonly text?: string;
  readonly noticed?: readonly string[];
  readonly dryRun?: boolean;
  readonly at?: string;
}

/** As the command does it; nothing waits in earnest. */
function deliver({
  people = PEOPLE,
  text = "please back up",
  noticed = [],
  dryRun = false,
  at = url,
}: Asking = {}) {
  const machine = machineWith({
    elapsed: () => 0,
    now: () => Date.parse("2026-11-25T12:00:00Z"),
    wait: (milliseconds, signal) => {
      signal?.throwIfAborted();
      waits.push(milliseconds);
      return Promise.resolve();
    },
  });
  const system = { files: realFiles, http: realHttp, machine, signal: stop.signal } as unknown as System;
  return deliverNotices(
    { server: { url: at, token: TOKEN }, from: "@notices:example.org", rate: 4, recordPath },
    { campaign: campaignOf(text), people, alreadySent: new Set(noticed), dryRun },
    system,
    noProgress,
  );
}

const puts = () => host.asked.filter(({ method }) => method === "PUT");

describe("notices", () => {
  test("go to each person once, at the pace that was asked for, with the text and its mark", async () => {
    const delivery = await deliver();
    assert.deepEqual(host.notices, PEOPLE);
    assert.equal(delivery.sent, 3);
    assert.deepEqual(waits, [250, 250], "four a second, and no wait after the last");
    const [first] = puts();
    assert.deepEqual(first!.body.content, {
      msgtype: "m.text",
      body: "please back up",
      [NOTICE_KEY]: campaignOf("please back up").id,
    });
    assert.equal(first!.headers.authorization, `Bearer ${TOKEN}`);
    assert.match(first!.path, /^\/_synapse\/admin\/v1\/send_server_notice\/synlift-[0-9a-f]{32}$/);
    assert.equal(new Set(puts().map(({ path }) => path)).size, 3, "a transaction for each");
  });

  test("go to nobody twice: neither those in the record nor those the database knows of", async () => {
    await deliver({ people: PEOPLE.slice(0, 1) });
    const again = await deliver({ noticed: ["@cyd:example.org"] });
    assert.deepEqual(host.notices, ["@ann:example.org", "@bob:example.org"]);
    assert.deepEqual([again.before, again.sent, countUnsent(again)], [2, 1, 0]);
    const third = await deliver({ noticed: ["@cyd:example.org"] });
    assert.deepEqual([third.before, third.sent], [3, 0]);
    assert.equal(host.notices.length, 2);
  });

  test("of another text go to all again", async () => {
    await deliver();
    await deliver({ text: "please back up now" });
    assert.equal(host.notices.length, 6);
    assert.equal(
      (await deliver({ text: "\n  please back up \n\n" })).before,
      3,
      "blank edges make no other text",
    );
  });

  test("are not sent in a dry run, which tells how many there would be", async () => {
    const delivery = await deliver({ dryRun: true, noticed: ["@ann:example.org"] });
    assert.deepEqual(host.asked, []);
    assert.equal(existsSync(recordPath), false);
    assert.match(deliveryFinding(delivery).sentence, /2 notices would be sent.*1 got it before/);
  });

  test("are recorded in a private file, which is nobody's lock afterwards", async () => {
    await deliver();
    assert.equal(statSync(recordPath).mode & 0o777, 0o600);
    const text = readFileSync(recordPath, "utf8");
    assert.match(text, /"@bob:example.org": "2026-11-25T12:00:00.000Z"/);
    assert.ok(!text.includes(TOKEN));
    assert.equal(existsSync(`${recordPath}.lock`), false);
  });

  test("are not sent by two runs at once", async () => {
    const { pid, hostname } = machineWith();
    const holder = {
      pid,
      host: hostname,
      start: machineWith().processStart(pid),
      since: "2026-11-25T12:00:00Z",
    };
    writeFileSync(`${recordPath}.lock`, JSON.stringify(holder));
    await assert.rejects(deliver(), { code: "bundle-in-use" });
    assert.deepEqual(host.asked, []);
  });

  test("wait as long as the server asks for, by header or by field", async () => {
    const said = [
      {
        status: 429,
        headers: { "retry-after": "7" },
        body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1 },
      },
      { status: 429, headers: { "retry-after": "Wed, 25 Nov 2026 12:00:09 GMT" } },
      { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 1500 } },
    ];
    host.answer = () => said.shift();
    const delivery = await deliver({ people: PEOPLE.slice(0, 1) });
    assert.deepEqual(waits, [7000, 9000, 1500]);
    assert.equal(delivery.sent, 1);
    assert.equal(new Set(puts().map(({ path }) => path)).size, 1, "the same transaction each time");
  });

  test("are given up for now when the server wants a long pause, or never stops asking", async () => {
    host.answer = () => ({ status: 429, headers: { "retry-after": "7200" } });
    const delivery = await deliver();
    assert.deepEqual([host.notices.length, delivery.sent, countUnsent(delivery)], [1, 0, 3]);
    assert.match(
      deliveryFinding(delivery).sentence,
      /0 notices sent, 3 not: the server asks for a pause of 7200 s/,
    );
    host.answer = () => ({ status: 429 });
    await deliver();
    assert.equal(host.notices.length, 1 + 11);
  });

  test("are tried again when the server fails, and others get theirs", async () => {
    let times = 0;
    host.answer = ({ body }) =>
      body.user_id === "@bob:example.org" || (body.user_id === "@ann:example.org" && times++ < 2)
        ? { status: 502, body: {} }
        : undefined;
    const delivery = await deliver();
    assert.equal(delivery.sent, 2);
    assert.deepEqual(delivery.unsent, [{ userId: "@bob:example.org", reason: "status 502" }]);
    const ids = puts().map(({ path, body }) => `${body.user_id!} ${path}`);
    assert.equal(new Set(ids).size, 3, "one transaction for each person, however often it is tried");
    host.answer = () => undefined;
    const again = await deliver();
    assert.deepEqual([again.before, again.sent], [2, 1]);
  });

  test("are not sent to somebody the server does not know, and the rest is", async () => {
    host.answer = ({ body }) =>
      body.user_id === "@bob:example.org"
        ? { status: 404, body: { errcode: "M_NOT_FOUND", error: "User not found" } }
        : undefined;
    const delivery = await deliver();
    assert.deepEqual(delivery.unsent, [{ userId: "@bob:example.org", reason: "status 404: User not found" }]);
    assert.deepEqual([delivery.sent, countUnsent(delivery), delivery.stopped], [2, 1, undefined]);
  });

  test("stop at the first when nobody would get them", async () => {
    const refusals = [
      { status: 400, body: { errcode: "M_UNKNOWN", error: "Server notices are not enabled on this server" } },
      { status: 401, body: { errcode: "M_UNKNOWN_TOKEN", error: "Token is not active" } },
      { status: 403, body: { errcode: "M_FORBIDDEN", error: "You are not a server admin" } },
      { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" } },
      { status: 301, headers: { location: "https://elsewhere.example/" } },
    ];
    for (const [index, refusal] of refusals.entries()) {
      host.answer = () => refusal;
      const delivery = await deliver();
      assert.equal(host.notices.length, index + 1, JSON.stringify(refusal));
      assert.equal(countUnsent(delivery), 3);
      assert.match(delivery.stopped!, /^status/);
    }
  });

  test("stop when the server is gone", async () => {
    const people = Array.from({ length: 9 }, (_, n) => `@p${n}:example.org`);
    const delivery = await deliver({ people, at: `http://127.0.0.1:${await freePort()}` });
    assert.deepEqual([delivery.unsent.length, countUnsent(delivery)], [3, 9]);
  });

  test("that went out before somebody pressed Ctrl-C are in the record", async () => {
    host.answer = ({ body }) => {
      if (body.user_id === "@bob:example.org") stop.abort(new Error("stopped"));
      return undefined;
    };
    await assert.rejects(deliver(), /stopped/);
    const record = await NoticeRecord.read(recordPath, realFiles);
    assert.ok(record.has(campaignOf("please back up").id, "@ann:example.org"));
    assert.equal(existsSync(`${recordPath}.lock`), false);
  });

  test("keep the record of others, and refuse a file that is none", async () => {
    await deliver({ text: "an earlier text" });
    await deliver();
    const { campaigns } = JSON.parse(readFileSync(recordPath, "utf8")) as { campaigns: object };
    assert.equal(Object.keys(campaigns).length, 2);
    for (const text of ["", "{}", "[1]", '{"format":"synlift-notices","version":2,"campaigns":{}}']) {
      writeFileSync(recordPath, text);
      await assert.rejects(deliver(), { code: "bundle-damaged" }, text);
    }
  });
});

describe("before the first notice it is told", () => {
  const ask = (token = TOKEN, name = "example.org", at = url) =>
    assertAcceptsNotices({ url: at, token }, name, realHttp, new AbortController().signal);
  const refused = (sentence: RegExp) => (error: Error & { code?: string; hint?: string }) =>
    error.code === "notices-not-sent" &&
    sentence.test(error.message) &&
    !error.message.includes(TOKEN) &&
    error.hint !== undefined;

  test("nothing, when all is well", async () => {
    await ask();
  });

  test("that the token is unknown, or not an administrator's", async () => {
    await assert.rejects(ask("syt_of-nobody"), refused(/does not know the access token/));
    host.answer = ({ path }) =>
      path.startsWith("/_synapse") ? { status: 403, body: { errcode: "M_FORBIDDEN" } } : undefined;
    await assert.rejects(
      ask(),
      refused(/the token belongs to @admin:example.org, who is not an administrator/),
    );
  });

  test("that another server, something else or nobody answers", async () => {
    await assert.rejects(
      ask(TOKEN, "other.example"),
      refused(/is not other\.example: it knows the token as @admin:example\.org's/),
    );
    await assert.rejects(
      ask(TOKEN, "example.org", `http://127.0.0.1:${await freePort()}`),
      refused(/does not answer: /),
    );
    host.answer = () => ({ status: 200, body: ["hello"] });
    await assert.rejects(ask(), refused(/does not answer as a homeserver does: status 200/));
  });

  test("that a proxy keeps the admin API away", async () => {
    host.answer = ({ path }) => (path.startsWith("/_synapse") ? { status: 404 } : undefined);
    await assert.rejects(ask(), refused(/does not let us use the admin API: status 404/));
  });
});
