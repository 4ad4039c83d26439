import type { Inventory } from "../../bundle/inventory.ts";
import type { ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Step } from "../../journal/step.ts";
import { gzipProgram } from "../../pipeline/gzip-program.ts";
import type { Machine } from "../../system/machine.ts";
import {
  postgresCall,
  type Postgres,
  type PostgresAddress,
  type PostgresSession,
  withoutRows,
} from "../../system/postgres.ts";
import type { Programs } from "../../system/programs.ts";
import type { Progress } from "../../system/progress.ts";
import { countDatabase, readSequences } from "./count.ts";
import { extensionArguments } from "./extensions.ts";
import { ONE_TIME_KEYS } from "../left-behind.ts";
import { sealedName } from "../../bundle/layout.ts";
import { CONTENT_FORMATS, type DumpFormat } from "./dump-format.ts";
import { keptInputs, type Kept } from "../media/kept.ts";
import type { Store } from "./store.ts";
import { asDisturbance, beginUndisturbed, LOCK_WAIT, undisturbed } from "./undisturbed.ts";

export const DATABASE_ARTIFACT = "customer_db_export.sql.gz";
export const DATABASE_SECTION = "database";
/** The step that packs the database, of whichever engine. */
export const DATABASE_STEP = "export/database";
export const STATE_ARTIFACT = "customer_db_export_state.sql.gz";
export const STATE_SECTION = "database-state";

export const MAS_DATABASE_ARTIFACT = "customer_mas_db_export.sql.gz";
export const MAS_DATABASE_SECTION = "database-mas";

/** What is packed of each store, under which names; `archive` is what its artifact is called in PostgreSQL's own format. */
const PACKED = {
  main: {
    ...{ artifact: DATABASE_ARTIFACT, archive: "customer_db_export.dump.gz" },
    ...{ section: DATABASE_SECTION, step: DATABASE_STEP, label: "database" },
  },
  state: {
    ...{ artifact: STATE_ARTIFACT, archive: "customer_db_export_state.dump.gz" },
    ...{ section: STATE_SECTION, step: "export/database-state", label: "state database" },
  },
  mas: {
    ...{ artifact: MAS_DATABASE_ARTIFACT, archive: "customer_mas_db_export.dump.gz" },
    ...{ section: MAS_DATABASE_SECTION, step: "export/database-mas" },
    label: "authentication service's database",
  },
} as const;

/** What a database of PostgreSQL is packed as, by its plain name. */
export const dumpArtifact = (store: Store, format: DumpFormat): string =>
  PACKED[store][format === "plain" ? "artifact" : "archive"];

/** gzip's fastest level: the dump is made while the server is down, and level 6 saves little more. */
export const LEVEL = 1;

export interface DatabaseExport {
  readonly store: Store;
  readonly format: DumpFormat;
  readonly address: PostgresAddress;
  readonly pgDump: string;
  /** The state of the database as `databaseMarker` tells it: an input of the step. */
  readonly marker: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly into: ArtifactWriter;
  readonly inventory: Inventory;
  readonly postgres: Postgres;
  readonly programs: Programs;
  readonly machine: Pick<Machine, "cores">;
  readonly saved: () => Promise<void>;
  check: Step["check"];
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
  readonly progress: Pick<Progress, "note">;
  /** Milliseconds that a lock is waited for, where that is not as long as usual. */
  readonly lockWait?: number;
}

/** Dumps the database, and counts in the very snapshot that is dumped. */
export function exportDatabase(from: DatabaseExport): Step {
  const { step, section, label } = PACKED[from.store];
  const as = from.format === "plain" ? {} : { dumpFormat: from.format };
  return {
    ...{ id: step, label },
    inputs: { ...from.inputs, database: from.marker, ...keptInputs(from.kept), ...as },
    check: from.check,
    async run() {
      await removeOther(from);
      const recorded = await undisturbed(() => dumpOnce(from), from.progress);
      from.inventory.setSection(section, { ...recorded.section, ...as });
      from.inventory.setArtifact(recorded.artifact);
      await from.saved();
      const { name, size, sha256, parts } = recorded.artifact;
      return { name, size, sha256, parts };
    },
  };
}

/** Takes away what an earlier run made of it in the other format: nobody could tell which of the two counts. */
async function removeOther({ store, format, into, inventory }: DatabaseExport): Promise<void> {
  const other = dumpArtifact(store, format === "plain" ? "custom" : "plain");
  await into.remove(other);
  inventory.dropArtifact(sealedName(other));
}

async function dumpOnce(from: DatabaseExport) {
  const session = await from.postgres.connect(from.address);
  try {
    return await dumpAndCount(session, from);
  } catch (error) {
    // Before our own locks go: whoever waits for them is gone then, too.
    const { name } = postgresCall(from.pgDump, from.address, []);
    throw await asDisturbance(error, name, () => from.postgres.connect(from.address));
  } finally {
    await session.close();
  }
}

async function dumpAndCount(
  session: PostgresSession,
  { store, format, into, address, pgDump, programs, machine, kept, lockWait = LOCK_WAIT }: DatabaseExport,
) {
  await beginUndisturbed(session, lockWait);
  const { snapshot } = await session.one<{ snapshot: string }>("SELECT pg_export_snapshot() AS snapshot");
  // Before the dump: sequences are in no snapshot, and on a running server they only go up. So the dump never has less.
  const sequences = await readSequences(session);
  const args = [
    ...dumpArguments(snapshot, store, format),
    `--lock-wait-timeout=${lockWait / 1000}s`,
    ...(await extensionArguments(session)),
  ];
  const stop = new AbortController();
  const call = {
    ...postgresCall(pgDump, address, args),
    ...{ explain: withoutRows, stop: stop.signal },
  };
  const dump = programs.through(format === "plain" ? { ...call, before: dumpOpening(store) } : call);
  const gzip = into.presses ? await gzipProgram(programs, machine.cores) : undefined;
  // Counting goes on beside the dump. Whatever fails first is what is told. People have no server meanwhile: a dump
  // without its count is not made to its end.
  const counting = countDatabase(session, sequences, store, kept);
  counting.catch((error: unknown) => {
    stop.abort(error);
  });
  const { label } = PACKED[store];
  const plan = { name: dumpArtifact(store, format), format: CONTENT_FORMATS[format] };
  const artifact = gzip
    ? await into.addPressed(
        { ...plan, label: `${label}, with ${gzip.name}` },
        gzip.compress(dump),
        gzip.decompress,
      )
    : await into.add({ ...plan, level: LEVEL, label }, dump);
  return { artifact, section: await counting };
}

/** pg_dump(1). The new host has other roles and tablespaces; what is not Synapse's data only stands in the way there. */
const dumpArguments = (snapshot: string, store: Store, format: DumpFormat) => [
  `--format=${format}`,
  // One core would compress it before the dump goes on; what comes behind it does so beside, and faster.
  ...(format === "custom" ? ["--compress=0"] : []),
  "--no-owner",
  "--no-privileges",
  "--no-tablespaces",
  "--no-security-labels",
  "--no-publications",
  "--no-subscriptions",
  "--encoding=UTF8",
  `--snapshot=${snapshot}`,
  ...(store === "main" ? [`--exclude-table-data=*.${ONE_TIME_KEYS}`] : []),
];

/** Lines before pg_dump's own: whoever restores this with a bare psql stops at the first error too. */
const REMARKS: Readonly<Record<Store, string>> = {
  main: `The rows of ${ONE_TIME_KEYS} are left out on purpose.`,
  state: "State groups only: the rest is in a database of its own.",
  mas: "Of the Matrix Authentication Service: of no use without its secrets.encryption.",
};

const dumpOpening = (store: Store) => `--
-- Made by synlift. ${REMARKS[store]}
-- Restore into an empty database only.
--
\\set ON_ERROR_STOP on
`;
