import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatabaseTarget } from "../../../src/homeserver/database/target.ts";
import { databasesToRestore } from "../../../src/move/restore/databases.ts";

const postgres = (dbname: string): DatabaseTarget => ({
  engine: "postgres",
  address: { parameters: { dbname, host: "db" } },
});
const SECTION = { engine: "postgres", serverVersion: 170_002 } as const;
const NONE = { state: undefined, mas: undefined };

/** The layout does not matter, but for containers. */
const target = (
  given: {
    state?: DatabaseTarget;
    mas?: DatabaseTarget;
    database?: DatabaseTarget;
    ports?: boolean;
  } = {},
) => ({
  layout: { compose: undefined } as unknown as Parameters<typeof databasesToRestore>[0]["layout"],
  database: given.database ?? postgres("synapse"),
  stateDatabase: given.state,
  masDatabase: given.mas,
  porting: given.ports
    ? { folder: "/srv/media.port", fixes: [], silence: 60_000, installSynapse: false }
    : undefined,
});

test("each database of the source gets its target, the main one first", () => {
  const all = databasesToRestore(target({ state: postgres("state"), mas: postgres("mas") }), {
    database: SECTION,
    state: SECTION,
    mas: SECTION,
  });
  assert.deepEqual(
    all.map(({ store }) => store),
    ["main", "state", "mas"],
  );
});

test("a target that is missing, not needed, named twice or of another engine is refused", () => {
  assert.throws(() => databasesToRestore(target(), { ...NONE, database: SECTION, state: SECTION }), {
    code: "bad-usage",
    message: /^--state-database must be given/,
  });
  assert.throws(() => databasesToRestore(target({ mas: postgres("mas") }), { ...NONE, database: SECTION }), {
    code: "bad-usage",
    message: /^--mas-database: .*no such database/,
  });
  assert.throws(
    () =>
      databasesToRestore(target({ state: postgres("synapse") }), {
        ...NONE,
        database: SECTION,
        state: SECTION,
      }),
    { code: "bad-usage", message: /names the same database/ },
  );
  assert.throws(
    () =>
      databasesToRestore(target({ database: { engine: "sqlite", path: "/x.db" } }), {
        ...NONE,
        database: SECTION,
      }),
    { code: "target-unsuitable" },
  );
});

test("a database of SQLite becomes one of PostgreSQL only with --port, and nothing else does", () => {
  const sqlite = { ...NONE, database: { engine: "sqlite", serverVersion: 0 } } as const;
  assert.throws(() => databasesToRestore(target(), sqlite), {
    code: "target-unsuitable",
    hint: /^port it to PostgreSQL on the way: --port/,
  });
  assert.equal(databasesToRestore(target({ ports: true }), sqlite).length, 1);
  const file: DatabaseTarget = { engine: "sqlite", path: "/x.db" };
  for (const [given, source] of [
    [{ database: file, ports: true }, sqlite],
    [{ ports: true }, { ...NONE, database: SECTION }],
  ] as const)
    assert.throws(() => databasesToRestore(target(given), source), { code: "bad-usage", message: /^--port/ });
});
