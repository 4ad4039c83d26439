import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { noise } from "../support/bytes.ts";
import { freePort } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { exportTo, makeNewPlace, makeOldServer, type OldServer } from "../support/old-server.ts";
import { mustBeProven, rowsToRestore } from "../support/restored.ts";
import { filesBelow } from "../support/secrets.ts";
import { synlift, synliftWell } from "../support/synlift.ts";

const KILLS = 20;
/** SYNLIFT_SEED=… repeats the same moments. */
const SEED = Number(process.env["SYNLIFT_SEED"] ?? randomInt(1, 2 ** 31));

let old: OldServer;
let bundle: string;
let expected: ReadonlyMap<string, number>;

before(async () => {
  old = await makeOldServer({ stopped: true });
  bundle = join(temporaryFolder("kills"), "bundle");
  await synliftWell(exportTo(old, bundle));
  expected = await rowsToRestore(old.cluster);
});

after(async () => {
  await old.server.stop();
  await old.cluster.stop();
});

test(`a restore that was killed ${KILLS} times at random moments, ends with the same rows and every gate`, async (t) => {
  t.diagnostic(`SYNLIFT_SEED=${SEED}`);
  const restore = (place: { restoreArgs: readonly string[] }) => [
    ...["restore", bundle, "--passphrase-file", `${bundle}.passphrase`, ...place.restoreArgs, "--json"],
  ];
  const measured = await makeNewPlace(old.cluster, "kill0", await freePort());
  const began = performance.now();
  await synliftWell(restore(measured));
  const whole = performance.now() - began;
  const moments = noise(KILLS * 4, SEED);
  let cut = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const place = await makeNewPlace(old.cluster, `kill${kill + 1}`, await freePort());
    const after = (moments.readUInt32LE(kill * 4) / 2 ** 32) * whole;
    const killed = await synlift(restore(place), {
      started: (child) => setTimeout(() => child.kill("SIGKILL"), after),
    });
    if (killed.signal === "SIGKILL") cut += 1;
    await synliftWell(restore(place));
    const key = ["--passphrase-file", `${bundle}.passphrase`];
    await mustBeProven(old.cluster, place, { rows: expected, key }, `killed after ${after} ms`);
    assert.deepEqual(
      filesBelow(place.mediaDir).filter((path) => path.includes("unfinished")),
      [],
    );
    await old.cluster.sql("postgres", `drop database "${place.database}"`);
  }
  assert.ok(cut >= KILLS / 2, `only ${cut} of ${KILLS} were still running`);
});
