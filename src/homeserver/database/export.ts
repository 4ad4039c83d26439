import type { ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Inventory } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import type { Step } from "../../journal/step.ts";
import { gzipProgram } from "../../pipeline/gzip-program.ts";
import type { Machine } from "../../system/machine.ts";
import {
  type Postgres,
  type PostgresAddress,
  postgresCall,
  postgresProgramVersion,
  type PostgresSession,
  withoutRowValues,
} from "../../system/postgres/postgres.ts";
import type { Programs } from "../../system/programs/programs.ts";
import type { Progress } from "../../system/progress.ts";
import { type Kept, keptInputs, ONE_TIME_KEYS } from "../scope.ts";
import { countDatabase, readSequences } from "./count.ts";
import { excludeExtensions } from "./dump/extensions.ts";
import { CONTENT_FORMATS, type DumpFormat } from "./dump/format.ts";
import { type DumpEntry, leaveOutEntries } from "./dump/left-out.ts";
import {
  asLockConflict,
  beginLockedSnapshot,
  LOCK_TIMEOUT,
  retryLockedSnapshot,
} from "./dump/locked-snapshot.ts";
import type { Store } from "./store.ts";

const DATABASE_ARTIFACT = "customer_db_export.sql.gz";
export const DATABASE_SECTION = "database";
/** The step that packs the database, of whichever engine. */
export const DATABASE_STEP = "export/database";
const STATE_ARTIFACT = "customer_db_export_state.sql.gz";
export const STATE_SECTION = "database-state";

const MAS_DATABASE_ARTIFACT = "customer_mas_db_export.sql.gz";
export const MAS_DATABASE_SECTION = "database-mas";

/** What is packed of each store, under which names; `archive` is what its artifact is called in PostgreSQL's own format. */
const ARTIFACTS = {
  main: {
    artifact: DATABASE_ARTIFACT,
    archive: "customer_db_export.dump.gz",
    section: DATABASE_SECTION,
    step: DATABASE_STEP,
    label: "database",
  },
  state: {
    artifact: STATE_ARTIFACT,
    archive: "customer_db_export_state.dump.gz",
    section: STATE_SECTION,
    step: "export/database-state",
    label: "state database",
  },
  mas: {
    artifact: MAS_DATABASE_ARTIFACT,
    archive: "customer_mas_db_export.dump.gz",
    section: MAS_DATABASE_SECTION,
    step: "export/database-mas",
    label: "authentication service's database",
  },
} as const;

/** What a database of PostgreSQL is packed as, by its plain name. */
export const dumpArtifact = (store: Store, format: DumpFormat): string =>
  ARTIFACTS[store][format === "plain" ? "artifact" : "archive"];

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
  findFault: Step["findFault"];
  /** Which rows stay besides those of uploads. */
  readonly kept?: Kept | undefined;
  readonly progress: Pick<Progress, "note">;
  /** What is left out of a plain dump, as a restore would fail at it. */
  readonly leftOut?: readonly DumpEntry[];
  /** Lock time-out in milliseconds; the default when left out. */
  readonly lockTimeout?: number;
}

/** Dumps the database, and counts in the same snapshot. */
export function exportDatabase(from: DatabaseExport): Step {
  const { step, section, label } = ARTIFACTS[from.store];
  const as = from.format === "plain" ? {} : { dumpFormat: from.format };
  const objects = (from.leftOut ?? []).map(({ type, schema, tag }) => `${type} ${schema}.${tag}`);
  const leftOut = objects.length === 0 ? {} : { leftOut: objects.join(", ") };
  return {
    id: step,
    label,
    inputs: { ...from.inputs, database: from.marker, ...keptInputs(from.kept), ...as, ...leftOut },
    findFault: from.findFault,
    async run() {
      await removeOtherFormat(from);
      const recorded = await retryLockedSnapshot(() => dumpOnce(from), from.progress);
      from.inventory.setSection(section, {
        ...recorded.section,
        ...as,
        ...(objects.length === 0 ? {} : { objectsLeftOut: objects }),
      });
      from.inventory.setArtifact(recorded.artifact);
      await from.saved();
      const { name, size, sha256, parts } = recorded.artifact;
      return { name, size, sha256, parts };
    },
  };
}

/** Removes the dump of an earlier run in the other format: with both it would be unclear which one is valid. */
async function removeOtherFormat({ store, format, into, inventory }: DatabaseExport): Promise<void> {
  const other = dumpArtifact(store, format === "plain" ? "custom" : "plain");
  await into.remove(other);
  inventory.dropArtifact(encryptedName(other));
}

async function dumpOnce(from: DatabaseExport) {
  const session = await from.postgres.connect(from.address);
  try {
    return await dumpAndCount(session, from);
  } catch (error) {
    // Before our own locks are released: a session that waits for them no longer shows afterwards.
    const { name } = postgresCall(from.pgDump, from.address, []);
    throw await asLockConflict(error, name, () => from.postgres.connect(from.address));
  } finally {
    await session.close();
  }
}

async function dumpAndCount(
  session: PostgresSession,
  {
    store,
    format,
    into,
    address,
    pgDump,
    programs,
    machine,
    kept,
    leftOut = [],
    lockTimeout = LOCK_TIMEOUT,
  }: DatabaseExport,
) {
  await beginLockedSnapshot(session, lockTimeout);
  const { snapshot } = await session.one<{ snapshot: string }>("SELECT pg_export_snapshot() AS snapshot");
  // Before the dump: sequences are in no snapshot, and on a running server they only go up. So the dump never has less.
  const sequences = await readSequences(session);
  const { major } = await postgresProgramVersion(pgDump, programs, address.commandPrefix);
  const extensions = await excludeExtensions(session, major);
  const args = [
    ...dumpArguments(snapshot, store, format),
    `--lock-wait-timeout=${lockTimeout / 1000}s`,
    ...extensions.args,
  ];
  const stop = new AbortController();
  const call = {
    ...postgresCall(pgDump, address, args),
    mapError: withoutRowValues,
    signal: stop.signal,
  };
  const written = programs.pipe(format === "plain" ? { ...call, outputPrefix: dumpHeader(store) } : call);
  const dropped = [...leftOut, ...extensions.entries];
  // Where nothing is left out, the programs are connected by pipes of the kernel.
  const dump = dropped.length === 0 ? written : leaveOutEntries(dropped)(written);
  const gzip = into.usesCompressionProgram ? await gzipProgram(programs, machine.cores) : undefined;
  // Counting runs in parallel with the dump. The first failure is the one reported. The server is down meanwhile: a dump
  // is aborted when counting fails.
  const counting = countDatabase(session, sequences, store, kept);
  counting.catch((error: unknown) => {
    stop.abort(error);
  });
  const { label } = ARTIFACTS[store];
  const plan = { name: dumpArtifact(store, format), format: CONTENT_FORMATS[format] };
  const artifact = gzip
    ? await into.addCompressed(
        { ...plan, label: `${label}, with ${gzip.name}` },
        gzip.compress(dump),
        gzip.decompress,
      )
    : await into.add({ ...plan, level: LEVEL, label }, dump);
  return { artifact, section: await counting };
}

/** pg_dump(1). The new host has other roles and tablespaces; everything but Synapse's data would only cause errors there. */
const dumpArguments = (snapshot: string, store: Store, format: DumpFormat) => [
  `--format=${format}`,
  // pg_dump compresses on one core, in line; gzip behind it runs in parallel, and faster.
  ...(format === "custom" ? ["--compress=0"] : []),
  ...SYNAPSE_ONLY,
  `--snapshot=${snapshot}`,
  ...(store === "main" ? [`--exclude-table-data=*.${ONE_TIME_KEYS}`] : []),
];

const SYNAPSE_ONLY = [
  "--no-owner",
  "--no-privileges",
  "--no-tablespaces",
  "--no-security-labels",
  "--no-publications",
  "--no-subscriptions",
  "--encoding=UTF8",
];

/** For a plain dump without rows, which is otherwise the same. */
export const SCHEMA_ARGUMENTS: readonly string[] = [
  "--format=plain",
  "--schema-only",
  ...SYNAPSE_ONLY,
  `--lock-wait-timeout=${LOCK_TIMEOUT / 1000}s`,
];

/** Lines before pg_dump's own: whoever restores this with a bare psql stops at the first error too. */
const REMARKS: Readonly<Record<Store, string>> = {
  main: `The rows of ${ONE_TIME_KEYS} are left out on purpose.`,
  state: "State groups only: the rest is in a database of its own.",
  mas: "Of the Matrix Authentication Service: of no use without its secrets.encryption.",
};

const dumpHeader = (store: Store) => `--
-- Made by synlift. ${REMARKS[store]}
-- Restore into an empty database only.
--
\\set ON_ERROR_STOP on
`;
