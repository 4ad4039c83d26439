import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { testKilledStops } from "../support/follow/killed-stops.ts";
import { untilFollows } from "../support/follow/running-follow.ts";
import { makeNewSide, makeTwoSides } from "../support/follow/two-sides.ts";

// With a standby; by logical replication in follow-logical-stop.test.ts.
testKilledStops({
  begin: async () => {
    const two = await makeTwoSides();
    return { two, place: await makeNewSide(two.to), writer: await two.write({ perSecond: 5 }) };
  },
  untilFollows: async (place, two, running) => untilFollows(place, await two.position(), running),
  nothingIsLeftHere: (place) => {
    assert.equal(existsSync(place.data), false);
    assert.equal(existsSync(place.mediaDir), false);
    return Promise.resolve();
  },
  end: () => Promise.resolve(),
});
