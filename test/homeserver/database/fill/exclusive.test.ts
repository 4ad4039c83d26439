import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Journal } from "../../../../src/journal/journal.ts";
import { runSteps } from "../../../../src/journal/run-steps.ts";
import { databaseStep } from "../../../../src/move/restore/database-step.ts";
import type { Bytes } from "../../../../src/pipeline/transform.ts";
import { realFiles as files } from "../../../../src/system/files/files.ts";
import { noProgress } from "../../../../src/system/progress.ts";
import type { System } from "../../../../src/system/system.ts";
import { chunked, collect } from "../../../support/bytes.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { PostgresCluster } from "../../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { addressIn, makeMiniSynapse, relationsIn } from "../../../support/mini-synapse.ts";
import { lock, pack, type Packed, postgres, programs } from "../../../support/moved-database.ts";

let cluster: PostgresCluster;
let packed: Packed;
let sql: Buffer;

before(async () => {
  cluster = await PostgresCluster.start();
  packed = await pack(await makeMiniSynapse(cluster, "old"));
  sql = Buffer.from(await collect(packed.bundle.decrypted(packed.artifact, lock)));
});
after(() => cluster.stop());

const { signal } = new AbortController();
const system = { files, programs, postgres, machine: machineWith(), signal } as unknown as System;

/** A restore of its own folder, as a run of its own would make it. */
async function restore(database: string, content: () => Bytes): Promise<Journal> {
  const journal = await Journal.open(join(temporaryFolder("restore"), "journal.json"), files);
  const target = { engine: "postgres" as const, address: addressIn(cluster, database) };
  const step = databaseStep(
    { id: "a-bundle", content },
    { target, store: "main", section: packed.section },
    { journal, owner: undefined },
    system,
    noProgress,
  );
  await runSteps([step], { journal, progress: noProgress, signal, now: () => 0 });
  return journal;
}

const whole = () => chunked(sql);

test("of two restores into one database at the same time the second says what is going on, and the first ends well", async () => {
  await cluster.createDatabase("wanted", { owner: "mover" });
  let begun = () => {};
  let go = () => {};
  const halfWay = new Promise<void>((resolve) => (begun = resolve));
  const over = new Promise<void>((resolve) => (go = resolve));
  const slow = async function* (): Bytes {
    yield sql.subarray(0, sql.length / 2);
    begun();
    await over;
    yield sql.subarray(sql.length / 2);
  };
  const first = restore("wanted", slow);
  await halfWay;
  await assert.rejects(restore("wanted", whole), {
    code: "target-not-empty",
    message: "another restore into database wanted is running",
    hint: /wait until it has finished/,
  });
  go();
  await first;
  assert.ok((await relationsIn(cluster, "wanted")) > 10);
  await assert.rejects(restore("wanted", whole), { code: "target-not-empty", message: /is not empty/ });
});

test("of two restores that both make the database one fills it, and the other says why it does not", async () => {
  const ended = await Promise.allSettled([restore("made", whole), restore("made", whole)]);
  const failed = ended.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  assert.deepEqual(
    failed.map((error) => (error as { code?: string }).code),
    ["target-not-empty"],
    String(failed),
  );
  assert.ok((await relationsIn(cluster, "made")) > 10);
});

test("a database that is made meanwhile, and a lock of a run that broke off, keep nobody from filling it", async () => {
  const broken = async function* (): Bytes {
    yield await Promise.resolve(sql.subarray(0, sql.length / 2));
    throw new Error("pulled the plug");
  };
  await assert.rejects(restore("broken", broken), /pulled the plug/);
  await restore("broken", whole);
  assert.ok((await relationsIn(cluster, "broken")) > 10);
});
