import { testKills } from "../support/killed-exports.ts";

// One that goes on and one that is rolled back first, each time at other moments; test/long has twenty.
testKills(2);
