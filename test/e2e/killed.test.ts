import { testKills } from "../support/killed-exports.ts";

// A few each time; test/long has twenty.
testKills(3);
