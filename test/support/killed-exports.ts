import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { freePort } from "./lab/server-process.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { chance, type KillMoment, killMoments } from "./moments.ts";
import { makeNewPlace } from "./old-server.ts";
import { rowsToRestore } from "./restored.ts";
import { rowCounts } from "./row-counts.ts";
import { filesBelow } from "./secrets.ts";
import { eventsOf, type Ran, type RunOptions, synlift, synliftWell } from "./synlift.ts";
import { makeUnitServer, UNIT, type UnitServer } from "./unit-server.ts";

/**
 * Tests that kill real exports, with stop and fence in the run, at random moments. Every other one is rolled back
 * where it was killed, and started again; each ends in a bundle that restores to the rows, files and keys that the fenced
 * server has, as that of an uninterrupted run does, and is rolled back. SYNLIFT_KILL_SEED=… repeats the same moments,
 * SYNLIFT_KILL_ONLY=3,7 runs only some of them.
 */
export function testKills(count: number): void {
  const seed = Number(process.env["SYNLIFT_KILL_SEED"] ?? randomInt(2 ** 31));
  const only = process.env["SYNLIFT_KILL_ONLY"]?.split(",").map(Number);
  console.log(`seed of the kills: ${seed}`);
  let server: UnitServer;
  let work: string;
  before(async () => {
    server = await makeUnitServer();
    work = temporaryFolder("kills");
  });
  after(() => server.close());

  test("uninterrupted: the bundle restores to what the fenced server has", async () => {
    const out = join(work, "uninterrupted");
    await synliftWell(server.realExport(out), { env: server.env });
    await endsWell(server, out);
  });

  for (const [index, moment] of killMoments(count, chance(seed)).entries()) {
    if (only?.includes(index + 1) === false) continue;
    const backAtOnce = index % 2 === 1;
    test(`${index + 1}: killed ${moment.milliseconds} ms after ${moment.after}${backAtOnce ? ", rolled back, started again" : ""}: the bundle equals that of an uninterrupted run, and can be rolled back`, async () => {
      await killOne(server, join(work, `killed-${index}`), moment, backAtOnce);
    });
  }
}

async function killOne(server: UnitServer, out: string, moment: KillMoment, backAtOnce: boolean) {
  const { env } = server;
  const well = (args: readonly string[]) => synliftWell(args, { env });
  const killed = await synlift(server.realExport(out), { env, ...killedAt(moment) });
  // It may have ended before: that is a random moment too.
  assert.ok(killed.signal === "SIGKILL" || killed.code === 0, killed.stderr);
  const fenced = existsSync(join(out, "fence.json"));
  const done = packedBy(out);

  if (backAtOnce && fenced) {
    await well(["rollback", "--out", out, "--yes", "--json"]);
    await mustBeBack(server);
  }
  const resumed = await well(server.realExport(out));
  if (!(backAtOnce && fenced))
    for (const name of done)
      assert.ok(!packed(resumed).includes(name), `${name} was finished, and is packed again`);

  await endsWell(server, out);
}

/** The server is fenced and no longer changes: what it has is what any bundle must restore to. */
async function endsWell(server: UnitServer, out: string): Promise<void> {
  assert.deepEqual(await restored(server, out), await fencedSource(server));
  await synliftWell(["rollback", "--out", out, "--yes", "--json"], { env: server.env });
  await mustBeBack(server);
  rmSync(out, { recursive: true });
}

function killedAt({ said, milliseconds }: KillMoment): RunOptions {
  let due = said === undefined;
  let kill: (() => void) | undefined;
  const soon = () => {
    setTimeout(() => kill?.(), milliseconds);
  };
  return {
    started: (child) => {
      kill = () => child.kill("SIGKILL");
      if (due) soon();
    },
    killWhen: (stderr) => {
      if (!due && stderr.includes(said!)) {
        due = true;
        soon();
      }
      return false;
    },
  };
}

/** What is finished in a folder, by its journal. */
function packedBy(out: string): string[] {
  const path = join(out, "journal.json");
  if (!existsSync(path)) return [];
  const { steps } = JSON.parse(readFileSync(path, "utf8")) as {
    steps: Record<string, { outcome: { name?: string } }>;
  };
  return Object.values(steps).flatMap(({ outcome }) => (outcome.name === undefined ? [] : [outcome.name]));
}

const packed = (ran: Ran) =>
  eventsOf(ran).flatMap(({ type, id }) =>
    type === "begin" && id?.startsWith("write/") === true ? [id.slice("write/".length)] : [],
  );

let places = 0;

/** A bundle restored into a database and folders of its own: rows of every table, every media file, and the signing key. */
async function restored({ old, env }: UnitServer, bundle: string) {
  const key = ["--passphrase-file", `${bundle}.passphrase`];
  const place = await makeNewPlace(old.cluster, `killed${places++}`, await freePort());
  await synliftWell(["restore", bundle, ...key, ...place.restoreArgs, "--json"], { env });
  const rows = await rowCounts(old.cluster, place.database);
  const found = { rows, media: hashesBelow(place.mediaDir), keys: keysBelow(place.configDir) };
  await old.cluster.sql("postgres", `drop database "${place.database}"`);
  return found;
}

/** The same of the old server, without any code of the product. One-time keys are not restored, on purpose. */
async function fencedSource({ old }: UnitServer) {
  const rows = await rowsToRestore(old.cluster);
  const media = hashesBelow(old.home.mediaStorePath).filter(([name]) => name!.startsWith("local_"));
  const keys = [hashOf(old.home.signingKeyPath)];
  assert.ok(rows.get("public.events")! > 0 && media.length > 0);
  return { rows, media, keys };
}

const hashesBelow = (folder: string) =>
  filesBelow(folder).map((path) => [relative(folder, path), hashOf(path)]);

const keysBelow = (folder: string) =>
  filesBelow(folder)
    .filter((path) => /signing\.?key/.test(path))
    .map(hashOf);

const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Nothing of the fence is left, and people can write. */
async function mustBeBack({ old, systemctl, ...server }: UnitServer): Promise<void> {
  assert.deepEqual([systemctl.is("enabled", UNIT), systemctl.is("masked", UNIT)], [true, false]);
  assert.equal(
    await old.cluster.sql("old", "select count(*) from pg_db_role_setting where setrole <> 0"),
    "0",
  );
  await server.canWrite();
}
