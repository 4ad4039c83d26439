import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { beginLog, parseLine, withoutValues } from "../../../src/move/port/log.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

const TIME = "2026-11-30 12:44:03,557 - synapse_port_db - 441";

test("progress, a state and an error are understood", () => {
  assert.deepEqual(parseLine("event_json: 40% (400/1000)"), {
    kind: "progress",
    table: "event_json",
    done: 400,
    total: 1000,
  });
  assert.deepEqual(parseLine("Copying to postgres..."), { kind: "state", state: "Copying to postgres" });
  assert.deepEqual(
    parseLine(
      'psycopg2.errors.ForeignKeyViolation: insert or update on table "access_tokens" violates foreign key constraint "access_tokens_refresh_token_id_fkey"',
    ),
    {
      kind: "raised",
      error: "psycopg2.errors.ForeignKeyViolation",
      names: ["access_tokens", "access_tokens_refresh_token_id_fkey"],
    },
  );
  assert.equal(parseLine(`${TIME} - INFO - Error: 1% (1/2)`).kind, "other");
});

test("what may be of a row is in no line that is kept", () => {
  const kept = (line: string) => withoutValues(line) ?? "";
  for (const line of [
    `${TIME} - WARNING - DROPPING ROW: NUL value in table profiles col displayname: 'secret\\x00'`,
    `${TIME} - WARNING - dropping search row {'value': 'secret'}`,
    "DETAIL:  Key (token)=(secret) is not present in table",
    'psycopg2.errors.InvalidTextRepresentation: invalid input syntax for type bigint: "secret"',
    "LINE 1: INSERT INTO access_tokens VALUES ('secret')",
    "secret",
    "    raise ValueError('secret')",
    "ValueError: secret",
    "secret: 40% (400/1000), or so it says",
  ])
    assert.doesNotMatch(kept(line), /secret/, line);
  assert.equal(
    kept(`${TIME} - WARNING - DROPPING ROW: NUL value in table profiles col displayname: 'secret'`),
    `${TIME} - WARNING - DROPPING ROW: NUL value in table profiles col displayname`,
  );
  assert.equal(kept("ValueError: secret"), "ValueError");
  const frame = '  File "/opt/synapse/_scripts/synapse_port_db.py", line 250, in insert_many_txn';
  assert.equal(kept(frame), frame);
});

test("the log is private, and has its name once it is closed", async () => {
  const path = join(temporaryFolder("log"), "port.log");
  const log = await beginLog(path, realFiles);
  await log.say("-- script");
  await log.add(["users: 100% (1/1)", "secret", `${TIME} - INFO - Found 3 tables`]);
  await log.close();
  await log.close();
  assert.equal(readFileSync(path, "utf8"), `-- script\nusers: 100% (1/1)\n${TIME} - INFO - Found 3 tables\n`);
  assert.equal((await realFiles.stat(path))!.mode, 0o600);
});
