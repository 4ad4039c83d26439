import { join } from "node:path";
import { after, before, test } from "node:test";
import { breakableGates, mustNameEach } from "../support/broken-gates.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import {
  exportTo,
  makeNewPlace,
  makeOldServer,
  type NewPlace,
  type OldServer,
} from "../support/old-server.ts";
import { synliftWell } from "../support/synlift.ts";

// Each gate of `open` is broken alone: that it keeps the server closed is no other one's doing. test/e2e breaks them in groups.

let old: OldServer;
let place: NewPlace;
let key: string[];

before(async () => {
  old = await makeOldServer({ stopped: true });
  const bundle = join(temporaryFolder("gates"), "bundle");
  key = ["--passphrase-file", `${bundle}.passphrase`];
  await synliftWell(exportTo(old, bundle));
  place = await makeNewPlace(old.cluster, "new", await freePort());
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, "--json"]);
});
after(() => old.cluster.stop());

test("each gate that is broken alone closes the server, by its name", async (t) => {
  for (const group of breakableGates(old.cluster, place))
    for (const [name, breakIt] of Object.entries(group))
      await t.test(name, () => mustNameEach({ [name]: breakIt }, [...place.openArgs, ...key]));
  await synliftWell(["open", ...place.openArgs, ...key, "--dry-run"]);
});
