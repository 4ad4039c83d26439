import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Journal } from "../../../src/journal/journal.ts";
import { databaseStep } from "../../../src/move/restore/database-step.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { noProgress } from "../../../src/system/progress.ts";
import type { System } from "../../../src/system/system.ts";
import { chunked, collect } from "../../support/bytes.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse, relationsIn } from "../../support/mini-synapse.ts";
import { lock, pack, type Packed, postgres, programs } from "../../support/moved-database.ts";

let cluster: PostgresCluster;
let packed: Packed;
let sql: string;

before(async () => {
  cluster = await PostgresCluster.start();
  packed = await pack(await makeMiniSynapse(cluster, "old"));
  sql = (await collect(packed.bundle.decrypted(packed.artifact, lock))).toString();
});
after(() => cluster.stop());

/** Restores a dump as the command does, and answers what was noted. */
async function restored(dbname: string, dump: string): Promise<string[]> {
  const notes: string[] = [];
  const journal = await Journal.open(join(temporaryFolder("journal"), "journal.json"), realFiles);
  const step = databaseStep(
    { id: "the-bundle", content: () => chunked(dump) },
    {
      store: "main",
      target: { engine: "postgres", address: addressIn(cluster, dbname) },
      section: packed.section,
    },
    { journal, owner: undefined },
    { files: realFiles, programs, postgres, machine: machineWith() } as unknown as System,
    { ...noProgress, note: (text) => notes.push(text) },
  );
  await step.run();
  return notes;
}

test("what a newer pg_dump sets and this server does not know is left out and said, the rest stays", async () => {
  const newer = sql
    .replace("SET lock_timeout = 0;\n", "SET lock_timeout = 0;\nSET of_a_later_version = 0;\n")
    .replace("SET row_security = off;\n", "SET row_security = off;\nSET another_one = 'x';\n");
  assert.ok(newer.length > sql.length + 40);
  assert.deepEqual(await restored("newer", newer), [
    "the dump sets of_a_later_version, which this server does not know: that line was left out",
    "the dump sets another_one, which this server does not know: that line was left out",
  ]);
  assert.ok((await relationsIn(cluster, "newer")) > 10);
  assert.deepEqual(await restored("same", sql), []);
});

test("an unknown setting behind the first statement still ends the restore", async () => {
  const middle = sql.indexOf("\nCOPY ");
  const changed = `${sql.slice(0, middle)}\nSET of_a_later_version = 0;${sql.slice(middle)}`;
  await assert.rejects(restored("behind", changed), { code: "restore-failed", hint: /still empty/ });
  assert.equal(await relationsIn(cluster, "behind"), 0);
});

test("after a dump that ends the transaction by itself, what is in the database is said", async () => {
  const middle = sql.indexOf("\nCOPY ");
  const hostile = `${sql.slice(0, middle)}\nCOMMIT;\nSELECT 1/0;\n${sql.slice(middle)}`;
  await assert.rejects(restored("committed", hostile), {
    code: "restore-failed",
    message:
      /the dump ended the transaction by itself, and database .*committed.* now has \d+ objects: .* and \d+ more$/,
    hint: /^pg_dump writes no such dump: .* drop the database/,
  });
});
