import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { parseConnection } from "../../../src/system/postgres/conninfo.ts";
import { connectionString } from "../../../src/system/postgres/postgres.ts";
import { synapsePython } from "../../support/lab/synapse-server.ts";

/** Values with what breaks careless quoting, more often than chance would have them. */
const value = fc.oneof(
  fc.string({
    unit: fc.constantFrom(
      "'",
      '"',
      "\\",
      " ",
      "=",
      "@",
      "/",
      "#",
      "%",
      ":",
      "?",
      "&",
      ",",
      "a",
      "ü",
      "\t",
      "\n",
    ),
  }),
  fc.string({ unit: "grapheme" }),
);
const keyword = fc.constantFrom(
  "host",
  "port",
  "user",
  "dbname",
  "password",
  "sslmode",
  "passfile",
  "options",
  "application_name",
);
const parameters = fc.dictionary(keyword, value, { minKeys: 1, noNullPrototype: true });

/** libpq's own reading, through the driver that Synapse uses: one object or an error for each text. */
function libpq(texts: readonly string[]): (Record<string, string> | null)[] {
  const script = `
import json, sys
from psycopg2.extensions import parse_dsn
def read(text):
    try:
        return parse_dsn(text)
    except Exception:
        return None
print(json.dumps([read(text) for text in json.load(sys.stdin)]))`;
  return JSON.parse(
    execFileSync(synapsePython(), ["-c", script], { input: JSON.stringify(texts), encoding: "utf8" }),
  ) as ReturnType<typeof libpq>;
}

function read(text: string): Record<string, string> | null {
  try {
    return parseConnection(text);
  } catch {
    return null;
  }
}

test("what is written as a connection string is read back as it was", () => {
  fc.assert(
    fc.property(parameters, (given) => {
      assert.deepEqual(parseConnection(connectionString(given)), given);
    }),
    { numRuns: 500 },
  );
});

test("libpq reads our connection strings as we mean them", () => {
  // A NUL ends a text in C; nobody can have one in a name.
  const given = fc
    .sample(parameters, { numRuns: 300, seed: 7 })
    .filter((one) => !Object.values(one).some((text) => text.includes("\0") || !text.isWellFormed()));
  assert.ok(given.length > 200);
  assert.deepEqual(libpq(given.map(connectionString)), given);
});

const HAND_WRITTEN = [
  "host=db.example user=me dbname=mine",
  "  host = db.example   user= 'me and you' dbname='it\\'s \\\\ mine' ",
  "host='' dbname=mine",
  "dbname=mine password=with\\ space",
  "dbname=mine password=a'b",
  "host=x dbname",
  "host=x dbname='open",
  "host==x",
  "host=a,b port=1,2 dbname=x",
  "postgresql://",
  "postgresql:///mine",
  "postgres://me@db.example/mine",
  "postgresql://me:se%3Acret%40@db.example:5433/mi%20ne?sslmode=require&connect_timeout=3",
  "postgresql://[::1]:5433/mine",
  "postgresql://a:1,b:2,c/mine?target_session_attrs=any",
  "postgresql://%2Frun%2Fpostgresql/mine",
  "postgresql:///mine?host=/run/postgresql&user=me",
  "postgresql://me:p#a?s:s@db.example/mine",
  "postgresql://me@db.example?user=other",
  "postgresql://me%zz@db.example/mine",
  "postgresql://db.example/mine?sslmode",
  "postgresql://db.example/mine?options=-c%20a=b",
  "postgresql://db.example/mine?options=-c%20a%3Db",
  "postgresql://me:a:b:c@db.example/mine",
  "postgresql://me:@db.example/",
  "postgresql://:@db.example:/x",
];

test("what people write by hand is read as libpq reads it", () => {
  const theirs = libpq(HAND_WRITTEN);
  assert.ok(theirs.filter((one) => one !== null).length > 12, "libpq was there and could read most of it");
  const ours = HAND_WRITTEN.map((text) => [text, read(text)]);
  assert.deepEqual(
    ours,
    HAND_WRITTEN.map((text, index) => [text, theirs[index]]),
  );
});

test("an address that cannot be read is not quoted in the error", () => {
  for (const text of [
    "host=db password='secret",
    "postgresql://me:secret%zz@db/mine",
    "password=secret dbname",
  ])
    assert.throws(
      () => parseConnection(text),
      (error: Error) => {
        assert.equal((error as Error & { code: string }).code, "bad-usage");
        assert.doesNotMatch(
          `${error.message} ${(error as Error & { hint: string }).hint} ${error.stack ?? ""}`,
          /secret/,
        );
        return true;
      },
    );
});

test("a bare word is the name of a database", () => {
  assert.deepEqual(parseConnection("synapse"), { dbname: "synapse" });
});
