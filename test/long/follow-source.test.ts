import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import type { TargetFacts } from "../../src/homeserver/database/follow/facts.ts";
import type { Road } from "../../src/homeserver/database/follow/record.ts";
import { realPostgres } from "../../src/system/postgres/postgres.ts";
import { askFollowSource, serverState } from "../support/follow-source.ts";
import { PostgresCluster, serverMajors } from "../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeMiniSynapse } from "../support/mini-synapse.ts";
import { programsWith } from "../support/real-world.ts";
import { makeSmallHomeserver } from "../support/small-homeserver.ts";
import { MAIN } from "../support/synlift.ts";

const ACCESS = [
  "local all all trust",
  "host all,replication synlift_follow 127.0.0.1/32 scram-sha-256",
  "host all all 127.0.0.1/32 trust",
];
const TARGET: TargetFacts = {
  architecture: "x86_64",
  serverMajors: serverMajors().map(Number),
  server: { version: 180_000, isSuperuser: true },
};
const prepare = (road: Road) =>
  ({ type: "prepare", id: randomUUID(), road, target: TARGET, restart: false }) as const;

async function oldServer(cluster: PostgresCluster): Promise<string[]> {
  const { parameters } = await makeMiniSynapse(cluster, "old");
  const home = await makeSmallHomeserver({
    database: { name: "psycopg2", args: { ...parameters, cp_min: 1 } },
  } as never);
  return ["--config", home.configFile, "--working-directory", home.dataFolder];
}

for (const major of serverMajors())
  test(`PostgreSQL ${major} is prepared for each road that it has, and is as before after the undo`, async () => {
    const cluster = await PostgresCluster.start({
      access: ACCESS,
      major,
      settings: { wal_level: "logical" },
    });
    try {
      const config = await oldServer(cluster);
      const untouched = await serverState(cluster, "old");
      for (const road of major < 13 ? (["standby"] as const) : (["standby", "logical"] as const)) {
        const args = ["--out", join(temporaryFolder("follow"), "moving"), ...config];
        const { answer } = await askFollowSource(args, prepare(road));
        assert.equal(answer.slot === null, major < 13);
        const parameters = { host: answer.host, port: String(answer.port), user: answer.role, dbname: "old" };
        const session = await realPostgres(programsWith()).connect(
          { parameters, password: answer.password },
          { writes: true },
        );
        try {
          // It reads everything, on the versions without pg_read_all_data too.
          assert.equal((await session.one<{ count: number }>("SELECT count(*) FROM events")).count, 500);
          await session.all("SELECT last_value FROM events_stream_seq");
          await session.all("SELECT * FROM pg_stat_replication");
        } finally {
          await session.close();
        }
        if (answer.slot !== null)
          await cluster.sql(
            "old",
            road === "standby"
              ? `select pg_create_physical_replication_slot('${answer.slot}', true)`
              : `select pg_create_logical_replication_slot('${answer.slot}', 'pgoutput')`,
          );
        // People go on, also with tables that have no key of their own.
        await cluster.sql(
          "old",
          "update local_media_repository set upload_name = 'x'; delete from stream_positions",
        );
        const { answer: undone } = await askFollowSource(args, { type: "undo" });
        assert.deepEqual(undone.leftToDo, []);
        assert.equal(await serverState(cluster, "old"), untouched, road);
      }
    } finally {
      await cluster.stop();
    }
  });

test("an undo that is killed at ten random moments leaves nothing behind once it is run again", async () => {
  const cluster = await PostgresCluster.start({ access: ACCESS, settings: { wal_level: "logical" } });
  try {
    const config = await oldServer(cluster);
    const untouched = await serverState(cluster, "old");
    for (let round = 0; round < 10; round += 1) {
      const args = ["--out", join(temporaryFolder("follow"), "moving"), ...config];
      const { answer } = await askFollowSource(args, prepare("logical"));
      await cluster.sql("old", `select pg_create_logical_replication_slot('${answer.slot}', 'pgoutput')`);
      const began = performance.now();
      const undoing = spawn(process.execPath, [MAIN, "rollback", "--out", args[1]!], { stdio: "ignore" });
      const ended = new Promise((resolve) => undoing.once("close", resolve));
      const moment = 200 + Math.random() * 1_500;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, moment))]);
      undoing.kill("SIGKILL");
      await ended;
      const { answer: undone } = await askFollowSource(args, { type: "undo" });
      assert.deepEqual(undone.leftToDo, []);
      assert.equal(
        await serverState(cluster, "old"),
        untouched,
        `killed after ${Math.round(performance.now() - began)} ms`,
      );
    }
  } finally {
    await cluster.stop();
  }
});
