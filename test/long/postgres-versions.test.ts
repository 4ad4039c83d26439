import { BETWEEN, testPostgresVersions } from "../support/postgres-versions.ts";

testPostgresVersions(BETWEEN);
