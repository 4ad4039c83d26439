import assert from "node:assert/strict";
import { testKilledStops } from "../support/follow/killed-stops.ts";
import { startedUpdatesAreDone, untilInCopy } from "../support/follow/logical-sides.ts";
import { makeNewSide, makeTwoSides } from "../support/follow/two-sides.ts";
import { PostgresCluster } from "../support/lab/postgres-cluster.ts";

// By logical replication; with a standby in follow-stop.test.ts.

let target: PostgresCluster;

testKilledStops({
  begin: async () => {
    const two = await makeTwoSides({ settings: { wal_level: "logical" } });
    target = await PostgresCluster.start({ major: 16 });
    const place = await makeNewSide(two.to, { target });
    const writer = await two.write({ perSecond: 5 });
    await startedUpdatesAreDone(two);
    return { two, place, writer };
  },
  untilFollows: (place, _two, running, writer) => untilInCopy(place, writer, running),
  nothingIsLeftHere: async (place) => {
    // Its empty database stays, with its role.
    const there = await target.sql("postgres", "select count(*) from pg_database where datname = 'old'");
    if (there === "1")
      assert.equal(
        await place.sql(
          "select count(*) from pg_class where relnamespace = 'public'::regnamespace or relnamespace = (select oid from pg_namespace where nspname = 'synlift')",
        ),
        "0",
      );
    assert.equal(await target.sql("postgres", "select count(*) from pg_subscription"), "0");
    assert.equal(await target.sql("postgres", "select count(*) from pg_replication_origin"), "0");
  },
  end: () => target.stop(),
});
