import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsIn } from "../../../../src/homeserver/database/follow/logical/last-words.ts";
import { compareSchemas } from "../../../../src/homeserver/database/follow/logical/schema.ts";

const NAMES = new Set(["public", "users", "users_name_key", "shoe_size"]);

/** A log of PostgreSQL with a prefix that an administrator has chosen, and with rows in what follows a sentence. */
const log = (...errors: readonly string[]) =>
  errors
    .map(
      (sentence) => `2026-11-30 23:11:02.123 UTC [4711] app=[unknown] ERROR:  ${sentence}
2026-11-30 23:11:02.123 UTC [4711] DETAIL:  Key (name)=(@alice:example.org) already exists.
2026-11-30 23:11:02.123 UTC [4711] CONTEXT:  processing remote data for replication origin "pg_16394" during message type "INSERT" for replication target relation "public.users" in transaction 757
2026-11-30 23:11:02.124 UTC [1] LOG:  background worker "logical replication apply worker" (PID 4711) exited with exit code 1
`,
    )
    .join("");

test("the last reason why a change was not applied is quoted, with names and without anything of a row", () => {
  const said = log(
    'column "shoe_size" is missing',
    'duplicate key value violates unique constraint "users_name_key"',
  );
  assert.equal(wordsIn(said, NAMES), 'duplicate key value violates unique constraint "users_name_key"');
  const quoted = log('invalid input syntax for type json: "my ""secret"" words" in "public.users"');
  assert.equal(wordsIn(quoted, NAMES), 'invalid input syntax for type json: "…" in "public.users"');
});

test("an error of something else, or a log in another language, is not quoted", () => {
  const other =
    '2026-11-30 23:11:02 UTC [99] ERROR:  value "secret" is wrong\n2026-11-30 STATEMENT:  insert …\n';
  assert.equal(wordsIn(other, NAMES), undefined);
  assert.equal(wordsIn(other + "LOG:  quiet\n".repeat(50) + log("x").split("\n")[2]!, NAMES), undefined);
  assert.equal(wordsIn(log("x").replaceAll("ERROR:", "FEHLER:"), NAMES), undefined);
  assert.equal(wordsIn("", NAMES), undefined);
});

const table = { schema: "public", name: "users" };
const column = (name: string, type = "text", required = false) => ({
  ...table,
  column: name,
  type,
  required,
});
const index = (name: string) => ({
  ...table,
  index: name,
  definition: `CREATE INDEX ${name} ON public.users`,
});
const schema = (more: Partial<Parameters<typeof compareSchemas>[0]> = {}) => ({
  tables: [table],
  columns: [column("name")],
  indexes: [index("one")],
  ...more,
});

test("each kind of change of the schema is told with what it stops and what mends it", () => {
  assert.deepEqual(compareSchemas(schema(), schema()), []);
  const effects = (there: ReturnType<typeof schema>, here: ReturnType<typeof schema>) =>
    compareSchemas(there, here).map(({ effect, statement }) => [effect, statement]);
  const more = { columns: [column("name"), column('odd "name"', "bigint")] };
  assert.deepEqual(effects(schema(more), schema()), [
    ["stops", 'ALTER TABLE "public"."users" ADD COLUMN "odd ""name""" bigint;'],
  ]);
  assert.deepEqual(effects(schema(), schema(more)), [
    ["harmless", 'ALTER TABLE "public"."users" DROP COLUMN "odd ""name""";'],
  ]);
  const required = { columns: [column("name"), column("must", "text", true)] };
  assert.equal(effects(schema(), schema(required))[0]![0], "stops");
  assert.deepEqual(effects(schema({ columns: [column("name", "bigint")] }), schema()), [
    ["stops", 'ALTER TABLE "public"."users" ALTER COLUMN "name" TYPE bigint;'],
  ]);
  assert.deepEqual(effects(schema({ indexes: [index("one"), index("two")] }), schema()), [
    ["lacks", "CREATE INDEX two ON public.users;"],
  ]);
  assert.deepEqual(effects(schema(), schema({ indexes: [] })), [
    ["lacks", "CREATE INDEX one ON public.users;"],
  ]);
});

test("of a table that only one side has, its columns are not told as well", () => {
  const two = { ...table, name: "two" };
  const there = schema({ tables: [table, two], columns: [column("name"), { ...column("a"), name: "two" }] });
  assert.deepEqual(
    compareSchemas(there, schema()).map(({ effect, statement }) => [effect, statement]),
    [["lacks", undefined]],
  );
  assert.deepEqual(
    compareSchemas(schema(), there).map(({ effect, statement }) => [effect, statement]),
    [["harmless", 'DROP TABLE "public"."two";']],
  );
});
