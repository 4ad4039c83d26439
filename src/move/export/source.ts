import { MigrationError } from "../../errors.ts";
import {
  databaseFindings,
  type DatabaseSource,
  describeDatabase,
  findDatabase,
  findDatabaseUsers,
  markerOf,
  rowFindings,
} from "../../homeserver/database/source.ts";
import { isObstacle } from "../../homeserver/database/checks/obstacles.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { masProcesses } from "../../homeserver/mas/find.ts";
import { MEDIA_SPECIAL_FILES, MEDIA_UNREADABLE } from "../../homeserver/media/accept-ids.ts";
import { assertNoneUnreadable } from "../../homeserver/media/pack/unreadable.ts";
import type { BoundedList } from "../../homeserver/media/store/bounded-list.ts";
import { keptFolders } from "../../homeserver/media/store/folders.ts";
import { type StoreState, storeState } from "../../homeserver/media/store/store.ts";
import type { MediaOrder } from "../../homeserver/scope.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatCount, formatCountOf } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";

/** The state of the source before anything is written. */
export interface SourceState {
  readonly database: DatabaseSource;
  /** See `markerOf`. */
  readonly marker: string;
  readonly media: StoreState;
  /** Findings about the databases that matter for the move. */
  readonly remarks: readonly Finding[];
  /** Evidence that the server is still running. */
  readonly alive: readonly Finding[];
  /** Other programs that are connected to the databases, also those that were accepted. */
  readonly others: readonly Finding[];
  /** Ids of findings that were accepted. */
  readonly accepted: readonly string[];
}

/** Throws `program-missing`: without it there is no bundle. */
export async function assertGpgInstalled({ programs }: Pick<System, "programs">): Promise<void> {
  if ((await programs.find("gpg")) !== undefined) return;
  throw new MigrationError("program-missing", "gpg is not installed", {
    hint: "install it: apt-get install gnupg",
  });
}

/**
 * Checks everything that could fail later. Changes nothing.
 * Throws `program-missing`, `program-too-old`, `database-unreachable`, `database-unsupported`, `file-missing`.
 */
export async function inspectSource(
  homeserver: Homeserver,
  kept: MediaOrder,
  accepted: readonly string[],
  system: System,
): Promise<SourceState> {
  const { files } = system;
  await assertMediaStore(homeserver, system);
  const alive = await findServerActivity(homeserver, system);
  const { database, marker, users } = await findDatabase(homeserver, system);
  const remarks = assertRestorable(databaseFindings(database), accepted);
  const media = await storeState(homeserver.mediaStore, files, keptFolders({ ...kept, origins: [] }));
  return {
    database,
    marker,
    media,
    remarks,
    alive: [...alive, ...users.homeserver],
    others: users.others,
    accepted,
  };
}

/** Throws `database-unsupported` for rows that a restore would refuse. Reads every foreign key of the databases. */
export async function assertRowsRestorable(
  { database }: Pick<SourceState, "database">,
  system: System,
  progress: Progress,
): Promise<void> {
  assertRestorable(await rowFindings(database, system, progress), []);
}

/**
 * The findings that remain, those that were accepted as notes. Throws `database-unsupported` for what would make the dump or a
 * restore fail: blockers, and obstacles that a person has not accepted to leave out.
 */
function assertRestorable(findings: readonly Finding[], accepted: readonly string[]): Finding[] {
  const fatal = findings.filter(
    ({ id, level }) => level === "blocker" || (isObstacle(id) && !accepted.includes(id)),
  );
  if (fatal.length > 0)
    throw new MigrationError(
      "database-unsupported",
      fatal.map(({ sentence, evidence = [] }) => [sentence, ...some(evidence)].join(": ")).join("; "),
      { hint: [...new Set(fatal.flatMap(({ hint }) => hint ?? []))].join("; ") },
    );
  return findings.map((finding) =>
    isObstacle(finding.id)
      ? { ...finding, level: "note", sentence: `${finding.sentence}; left out of the bundle (accepted)` }
      : finding,
  );
}

/** For a sentence: the first of them, and how many more there are. */
function some(evidence: readonly string[]): string[] {
  const [named, more] = [evidence.slice(0, 5), evidence.length - 5];
  return evidence.length === 0 ? [] : [`${named.join("; ")}${more > 0 ? ` and ${more} more` : ""}`];
}

async function assertMediaStore({ mediaStore, workingFolder }: Homeserver, { files }: System): Promise<void> {
  const found = await files.stat(mediaStore);
  if (found?.kind === "folder") return;
  throw new MigrationError(
    "file-missing",
    `the media store ${mediaStore} ${found ? "is not a directory" : "does not exist"}`,
    {
      hint: `check media_store_path; relative paths start where Synapse runs, assumed to be ${workingFolder}: give another with --working-directory`,
    },
  );
}

/** Throws `media-missing` for unreadable entries and for entries that are not regular files: the uploads in a linked folder would not be packed. */
export function assertRegularFiles(
  { odd, nameless, closed }: Pick<StoreState, "odd" | "nameless" | "closed">,
  store: string,
  accepted: readonly string[],
): void {
  const unreadableAccepted = accepted.includes(MEDIA_UNREADABLE);
  assertNoneUnreadable(closed.some, closed.count, { store, unreadableAccepted });
  if (odd.count + nameless.count === 0 || accepted.includes(MEDIA_SPECIAL_FILES)) return;
  const holds = [
    ...listed("links or other entries that are not regular files", odd),
    ...listed("entries whose names are not UTF-8, so that they cannot be opened", nameless),
  ];
  throw new MigrationError("media-missing", `the media store ${store} holds ${holds.join("; and ")}`, {
    hint: `${odd.count === 0 ? "Synapse does not create such names: move them out of the store" : "replace links with the files they point to, and move everything that is not Synapse's out of the store"}, or continue without them: --accept ${MEDIA_SPECIAL_FILES}`,
  });
}

function listed(what: string, { count, some }: BoundedList): string[] {
  const more = count > 3 ? ` and ${count - 3} more` : "";
  return count === 0 ? [] : [`${what}: ${some.slice(0, 3).join(", ")}${more}`];
}

/** Throws `homeserver-running`: data written after the dump would be lost. */
export function assertDown(alive: readonly Finding[]): void {
  if (alive.length === 0) return;
  const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": "));
  throw new MigrationError("homeserver-running", `the homeserver is still running: ${seen.join("; ")}`, {
    hint: "give what stops it: --unit NAME, --container NAME or --stop-command COMMAND; or stop it and its workers yourself; or rehearse on the running server: --rehearse",
  });
}

/** How long, in milliseconds, a program may take to disconnect that only asked something, such as a monitoring. */
const DISCONNECT_TIMEOUT_MS = 5_000;

/**
 * Finds out while the server still runs that other programs use its databases: waiting for them would be outage, and the
 * bundle would lack what they write. Throws `homeserver-running` for those that stay and are not accepted.
 */
export async function assertNoOtherPrograms(
  { database, others, accepted }: Pick<SourceState, "database" | "others" | "accepted">,
  system: System,
): Promise<void> {
  const until = system.machine.elapsed() + DISCONNECT_TIMEOUT_MS;
  let left = notAccepted(others, accepted);
  while (left.length > 0 && system.machine.elapsed() < until) {
    await system.machine.wait(250, system.signal);
    left = notAccepted((await findDatabaseUsers(database, system)).others, accepted);
  }
  const [first] = left;
  if (first === undefined) return;
  throw new MigrationError(
    "homeserver-running",
    left.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": ")).join("; "),
    { hint: first.hint },
  );
}

const notAccepted = (others: readonly Finding[], accepted: readonly string[]) =>
  others.filter(({ id }) => !accepted.includes(id));

/**
 * Checks again when everything is packed: what the server or another program wrote in the meantime is in no dump.
 * Throws `homeserver-running`, `source-changed`.
 */
export async function assertStayedDown(
  homeserver: Homeserver,
  source: SourceState,
  system: System,
): Promise<void> {
  const activity = await findServerActivity(homeserver, system);
  let users = await findDatabaseUsers(source.database, system);
  if (notAccepted(users.others, source.accepted).length > 0) {
    await assertNoOtherPrograms({ ...source, others: users.others }, system);
    users = await findDatabaseUsers(source.database, system);
  }
  const { others } = users;
  assertDown([...activity, ...users.homeserver, ...notAccepted(others, source.accepted)]);
  const complete = others.length > 0 ? "connected" : "nobody-connected";
  if ((await markerOf(source.database, system, complete)) === source.marker) return;
  throw new MigrationError(
    "source-changed",
    `the database of ${homeserver.serverName} was written to during the export`,
    {
      hint: "something started the server in the meantime, or another program writes to its database: stop it permanently, then run the same command again; only the database is packed again",
    },
  );
}

/** Of the authentication service as well: what it writes after its dump would be lost too. */
const findServerActivity = async (homeserver: Homeserver, system: System) => [
  ...(await findActivity(homeserver, system)),
  ...(homeserver.mas ? masProcesses(homeserver.mas, system.machine) : []),
];

/** All evidence that the server is running now. */
export async function findSourceActivity(
  homeserver: Homeserver,
  source: SourceState,
  system: System,
): Promise<Finding[]> {
  const activity = await findServerActivity(homeserver, system);
  const users = await findDatabaseUsers(source.database, system);
  return [...activity, ...users.homeserver, ...notAccepted(users.others, source.accepted)];
}

/** The state of the same source after the stop. That of its media is looked at after the database is packed. */
export async function readSourceWhenDown(source: SourceState, system: System): Promise<SourceState> {
  const marker = await markerOf(source.database, system, "nobody-connected");
  return { ...source, alive: [], marker };
}

/** The findings about the source, for the report and for a dry run. */
export function sourceFindings(
  homeserver: Homeserver,
  { database, media, alive, remarks, others, accepted }: SourceState,
  rehearsal: boolean,
): Finding[] {
  const { serverName, mediaStore } = homeserver;
  return [
    {
      id: "source-database",
      level: "ok",
      sentence: `the database of ${serverName} is ${describeDatabase(database)}`,
    },
    ...remarks,
    ...others.map((finding) =>
      accepted.includes(finding.id) ? { ...finding, sentence: `${finding.sentence} (accepted)` } : finding,
    ),
    {
      id: "source-media",
      level: "ok",
      sentence: `${formatCountOf(media.files, "local media file")}, ${formatBytes(media.bytes)}, in ${mediaStore}`,
    },
    alive.length === 0
      ? {
          id: "source-down",
          level: "ok",
          sentence: `${serverName} is stopped: no process, no answer, no connection to its database`,
        }
      : {
          id: "source-up",
          level: "note",
          sentence: rehearsal
            ? `${serverName} was running: this bundle is a rehearsal only`
            : `${serverName} was running when it was looked at: a move stops it`,
        },
    ...(media.odd.count + media.nameless.count === 0
      ? []
      : [
          {
            id: MEDIA_SPECIAL_FILES,
            level: "warning" as const,
            sentence: `${formatCount(media.odd.count + media.nameless.count)} entries in the media store are not regular files, or have names that are not UTF-8, and were not packed`,
            evidence: [...media.odd.some, ...media.nameless.some].slice(0, 20),
            hint: "Synapse creates no links in a media store: replace each with a copy of what it points to",
          },
        ]),
  ];
}
