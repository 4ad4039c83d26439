// Made test/vectors/v2/custom, once: node test/vectors/make-custom.ts. It refuses to run again.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Inventory } from "../../src/bundle/inventory.ts";
import { seal } from "../../src/bundle/seal.ts";
import { exportDatabase } from "../../src/homeserver/database/export.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { noProgress } from "../../src/system/progress.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { lockWith, programsWith } from "../support/real-world.ts";
import { MEDIA_PLAN, mediaArchive, still, writerIn } from "../support/small-bundle.ts";

const root = fileURLToPath(new URL("v2/custom/", import.meta.url));
if (existsSync(root)) throw new Error(`${root} is there already: a vector is never made again`);

process.umask(0o022);
const folder = join(root, "bundle");
mkdirSync(folder, { recursive: true });
const programs = programsWith();
const lock = lockWith("these vectors must open for ever", programs);
const inventory = Inventory.begin(still, false);
const writer = writerIn(folder, lock, 20_000);
const cluster = await PostgresCluster.start();
try {
  await exportDatabase({
    ...{ store: "main", format: "custom", address: await makeMiniSynapse(cluster, "old"), pgDump: "pg_dump" },
    ...{ marker: "", inputs: {}, into: writer, inventory, programs, machine: still },
    postgres: realPostgres(programs),
    progress: noProgress,
    saved: () => Promise.resolve(),
    findFault: () => Promise.resolve(undefined),
  }).run();
} finally {
  await cluster.stop();
}
inventory.setArtifact(await writer.add(MEDIA_PLAN, mediaArchive(700)));
await seal({
  ...{ folder, inventory, keys: lock, files: realFiles, subject: "example.org", program: "synlift 0.1.0" },
  outageSince: "2026-01-02T03:00:00.000Z",
  afterwards: "What is to be done then is said here.\n",
});
writeFileSync(join(root, "expected.json"), `${JSON.stringify({ code: null }, null, 2)}\n`);
