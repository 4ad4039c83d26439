import { testKills } from "../support/killed-exports.ts";

testKills(20);
