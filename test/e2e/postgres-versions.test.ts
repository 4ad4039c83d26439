import { EDGES, testOtherClusters, testPostgresVersions } from "../support/postgres-versions.ts";

// The oldest version, Debian's own and the newest; test/long has those between.
testPostgresVersions(EDGES);
testOtherClusters();
