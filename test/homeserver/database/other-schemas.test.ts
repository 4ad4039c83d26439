import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { otherSchemas } from "../../../src/homeserver/database/user-schemas.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { makeMiniSynapse } from "../../support/mini-synapse.ts";
import { postgres } from "../../support/moved-database.ts";

let cluster: PostgresCluster;

before(async () => {
  cluster = await PostgresCluster.start();
});
after(() => cluster.stop());

/** What is said of a database, once this was done to it. */
async function told(name: string, sql: string) {
  const address = await makeMiniSynapse(cluster, name);
  await cluster.sql(name, sql);
  const session = await postgres.connect(address);
  const found = await otherSchemas(session).finally(() => session.close());
  return found.map(({ id, level, evidence }) => [id, level, ...(evidence ?? [])]);
}

test("tables outside the schema public are told: the server's own as a note, and others as what travels too", async () => {
  assert.deepEqual(await told("usual", "create extension if not exists pg_trgm"), []);
  assert.deepEqual(
    await told("moved", "alter schema public rename to synapse; create schema public; set role mover"),
    [["schema-not-public", "note", "synapse: 13 tables"]],
  );
  assert.deepEqual(
    await told("shared", "create schema attic authorization mover; create table attic.old (n int)"),
    [["schemas-other", "warning", "attic: 1 table"]],
  );
  assert.deepEqual(
    await told(
      "versioned",
      "create schema bridge authorization mover; create table bridge.schema_version (version int)",
    ),
    [["schemas-other", "warning", "bridge: 1 table"]],
    "another program's record of its own schema",
  );
});
