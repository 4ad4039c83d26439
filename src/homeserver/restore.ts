import { join } from "node:path";
import type { Inventory } from "../bundle/inventory.ts";
import { sealedName } from "../bundle/layout.ts";
import type { Bundle } from "../bundle/reader.ts";
import { MigrationError } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import type { Step } from "../journal/step.ts";
import type { Lock } from "../pipeline/encrypt.ts";
import { meter } from "../pipeline/measure.ts";
import type { Bytes } from "../pipeline/stage.ts";
import type { Progress } from "../system/progress.ts";
import {
  describeAddress,
  postgresProgramVersion,
  type PostgresAddress,
  type PostgresSession,
} from "../system/postgres.ts";
import type { System } from "../system/system.ts";
import { CONFIG_ARTIFACT, unpackConfig } from "./config/artifact.ts";
import { DATABASE_ARTIFACT, STATE_ARTIFACT } from "./database/export.ts";
import { findProgram } from "./database/program.ts";
import { knowsRestrict } from "./database/guard.ts";
import {
  analyze,
  createDatabase,
  inspectTarget,
  isMissingDatabase,
  isSuperuser,
  restoreDatabase,
} from "./database/restore.ts";
import type { DatabaseSection } from "./database/section.ts";
import type { Store } from "./database/store.ts";
import { verifyDatabase } from "./database/verify.ts";
import { compareMedia } from "./media/compare.ts";
import { MEDIA_ARTIFACT } from "./media/export.ts";
import { MEDIA_SINCE_ARTIFACT } from "./media/export-since.ts";
import { restoreArchives, type MediaTarget } from "./media/restore.ts";
import type { MediaSection } from "./media/section.ts";
import { lostSince } from "./media/verify.ts";

/** A bundle that was checked, opened with its key, and is about to be unpacked. */
export interface Opened {
  readonly bundle: Bundle;
  readonly inventory: Inventory;
  readonly lock: Lock;
}

/** The packed configuration, by name. Throws `bundle-damaged`. */
export function readConfigArtifact(opened: Opened): Promise<ReadonlyMap<string, Uint8Array>> {
  return unpackConfig(contents(opened, CONFIG_ARTIFACT));
}

/** What is restored of each store. `filling` is what the journal says meanwhile: by which bundle, and which database. */
const PACKED = {
  main: { step: "restore/database", artifact: DATABASE_ARTIFACT, label: "database", filling: "filling" },
  state: {
    ...{ step: "restore/database-state", artifact: STATE_ARTIFACT },
    ...{ label: "state database", filling: "filling-state" },
  },
} as const;

/** A database to be filled, and what was counted of it. */
export interface DatabaseTarget {
  readonly store: Store;
  readonly address: PostgresAddress;
  readonly section: DatabaseSection;
}

const fillingFact = ({ bundle }: Opened, address: PostgresAddress) =>
  `${bundle.manifest.id} ${describeAddress(address)}`;

/** Whether an earlier run began to fill this database from this bundle, or has filled it. */
export const wasBegun = (opened: Opened, target: DatabaseTarget, journal: Journal) =>
  journal.steps[PACKED[target.store].step]?.inputs["bundle"] === opened.bundle.manifest.id ||
  wasFilling(opened, target, journal);

const wasFilling = (opened: Opened, { address, store }: DatabaseTarget, journal: Journal) =>
  journal.facts[PACKED[store].filling] === fillingFact(opened, address);

/** Fills the database. Done when it was filled by this very bundle. */
export function databaseStep(
  opened: Opened,
  target: DatabaseTarget,
  journal: Journal,
  system: System,
  progress: Progress,
): Step {
  const { bundle } = opened;
  const { address, section, store } = target;
  const { step, artifact, label, filling } = PACKED[store];
  return {
    id: step,
    inputs: { bundle: bundle.manifest.id, database: describeAddress(address) },
    check: () => whatIsGone(address, system),
    async run() {
      const psql = await findProgram(
        { program: "psql", major: 0, versionText: "", through: address.through },
        system,
      );
      const { text } = await postgresProgramVersion(psql, system.programs, address.through);
      if (!knowsRestrict(text)) {
        progress.note(
          `psql ${text} cannot be kept from commands in a dump: restore only what you trust, or update it`,
        );
      }
      const guardKey = knowsRestrict(text) ? system.machine.uuid().replaceAll("-", "") : undefined;
      if (wasFilling(opened, target, journal) && (await isFilled(target, system))) {
        await analyze(address, system.postgres);
        return { database: describeAddress(address) };
      }
      if (!(await inspectTarget({ address, section }, system.postgres)))
        await createDatabase(address, system.postgres);
      if (await isSuperuser(address, system.postgres)) {
        progress.note(
          "this database user is a superuser: give the homeserver one of its own, and restore only bundles that you trust",
        );
      }
      await journal.setFact(filling, fillingFact(opened, address));
      const dump = shown(opened, artifact, label, progress);
      await restoreDatabase(address, dump, { programs: system.programs, psql, guardKey, store });
      await analyze(address, system.postgres);
      return { database: describeAddress(address) };
    },
  };
}

/** What became of a database that was filled; undefined when it is still there. */
async function whatIsGone(address: PostgresAddress, { postgres }: System): Promise<string | undefined> {
  try {
    const session = await postgres.connect(address);
    const asked = session.one<{ there: boolean }>(
      "SELECT to_regclass('schema_version') IS NOT NULL AS there",
    );
    return (await asked.finally(() => session.close())).there ? undefined : "the database was emptied";
  } catch (error) {
    if (isMissingDatabase(error)) return "the database was dropped";
    throw error;
  }
}

/** Whether every gate of the database is passed already: a run that was stopped after its COMMIT could not say so. */
async function isFilled({ address, section, store }: DatabaseTarget, { postgres }: System): Promise<boolean> {
  let session: PostgresSession | undefined;
  try {
    session = await postgres.connect(address);
    const { there } = await session.one<{ there: boolean }>(
      "SELECT to_regclass('schema_version') IS NOT NULL AS there",
    );
    return there && (await verifyDatabase(section, session, store)).every(({ level }) => level !== "blocker");
  } catch (error) {
    // Not there yet, or not what it should be: what comes next says so in its own words.
    if (error instanceof MigrationError) return false;
    throw error;
  } finally {
    await session?.close();
  }
}

/** Unpacks the media. Run again when files are missing since. */
export function mediaStep(
  opened: Opened,
  target: MediaTarget,
  section: MediaSection,
  address: PostgresAddress,
  system: System,
  progress: Progress,
): Step {
  const { files, postgres } = system;
  return {
    id: "restore/media",
    inputs: { bundle: opened.bundle.manifest.id, store: target.store },
    async check() {
      const session = await postgres.connect(address);
      try {
        const compared = await compareMedia(session, target.store, files, {
          hashes: false,
          tell: () => undefined,
        });
        const lost = lostSince(section, compared);
        return lost.length === 0 ? undefined : `${lost.length} files are missing`;
      } finally {
        await session.close();
      }
    },
    async run() {
      // What came last first: where both archives have a file, its word counts.
      const since = opened.inventory.artifacts.some(({ name }) => name === sealedName(MEDIA_SINCE_ARTIFACT))
        ? shown(opened, MEDIA_SINCE_ARTIFACT, "media that came since", progress)
        : undefined;
      const archive = shown(opened, MEDIA_ARTIFACT, "media", progress);
      const restored = await restoreArchives(since ? [since, archive] : [archive], target, files);
      // Each file was not waited for by itself: a million small waits.
      await files.syncAll(target.store);
      return { ...restored };
    },
  };
}

/** An artifact's content, which ends well only if all of it is what was packed. */
function contents({ bundle, inventory, lock }: Opened, plainName: string): Bytes {
  const artifact = bundle.artifact(plainName);
  if (!artifact) {
    throw new MigrationError("bundle-damaged", `${bundle.folder} has no ${sealedName(plainName)}`, {
      hint: "copy the bundle again, all of it; or it was made by a version that packs other things",
    });
  }
  const recorded = inventory.artifacts.find(({ name }) => name === artifact.name);
  return bundle.plain(artifact, lock, recorded?.plain);
}

async function* shown(opened: Opened, plainName: string, label: string, progress: Progress): Bytes {
  const id = `restore/${label}`;
  const recorded = opened.inventory.artifacts.find(({ name }) => name === sealedName(plainName));
  progress.begin({ id, label, unit: "bytes", ...(recorded ? { total: recorded.plain.size } : {}) });
  const tell = meter((bytes) => {
    progress.advance(id, bytes);
  });
  yield* tell(contents(opened, plainName));
  progress.end(id);
}

/** Where `open` finds the inventory when the bundle itself is gone. */
export const inventoryCopy = (recordFolder: string) => join(recordFolder, "inventory.json.gpg");
