import assert from "node:assert/strict";
import type { PostgresCluster } from "./lab/postgres-cluster.ts";
import type { NewPlace } from "./old-server.ts";
import { rowCounts } from "./row-counts.ts";
import { resultOf, synliftWell } from "./synlift.ts";

const ONE_TIME_KEYS = "public.e2e_one_time_keys_json";

/** Rows that a restored database is to have: the old one's, but for the keys that must not come along. */
export const rowsToRestore = async (cluster: PostgresCluster): Promise<ReadonlyMap<string, number>> =>
  new Map([...(await rowCounts(cluster, "old")), [ONE_TIME_KEYS, 0]]);

/** The same rows, and every gate. `key`: the options that open the bundle. */
export async function mustBeProven(
  cluster: PostgresCluster,
  place: NewPlace,
  { rows, key }: { rows: ReadonlyMap<string, number>; key: readonly string[] },
  message?: string,
): Promise<void> {
  assert.deepEqual(await rowCounts(cluster, place.database), rows, message);
  const proven = resultOf(await synliftWell(["open", ...place.openArgs, ...key, "--dry-run", "--json"]));
  assert.ok(proven.findings.every(({ level }) => level === "ok"));
}
