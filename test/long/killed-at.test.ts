import { after, before } from "node:test";
import { testKilledAt } from "../support/killed-at.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { makeOldServer, type OldServer } from "../support/old-server.ts";

let old: OldServer;
let work: string;

before(async () => {
  old = await makeOldServer({ stopped: true });
  work = temporaryFolder("cut");
});
after(() => old.cluster.stop());

// test/e2e/interrupted.test.ts has the other moments.
testKilledAt(
  [
    ["check", 0],
    ["write", 1],
    ["check", 2],
  ],
  () => ({ old, work }),
);
