import { MigrationError } from "../../errors.ts";
import {
  type DatabaseSource,
  databaseWords,
  findDatabase,
  markerOf,
  schemasOf,
  usersOf,
} from "../../homeserver/database/source.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { masProcesses } from "../../homeserver/mas/find.ts";
import { MEDIA_ODD, MEDIA_UNREADABLE } from "../../homeserver/media/accept-ids.ts";
import { refuseUnreadable } from "../../homeserver/media/pack/unreadable.ts";
import { keptFolders } from "../../homeserver/media/store/folders.ts";
import type { Listed } from "../../homeserver/media/store/listed.ts";
import { type StoreState, storeState } from "../../homeserver/media/store/store.ts";
import type { Kept, MediaOrder } from "../../homeserver/scope.ts";
import { signsOfLife } from "../../homeserver/service/inspect.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes, formatCount } from "../../report/units.ts";
import type { System } from "../../system/system.ts";

/** The state of the source before anything is written. */
export interface Source {
  readonly database: DatabaseSource;
  /** See `markerOf`. */
  readonly marker: string;
  readonly media: StoreState;
  /** Findings about the databases that matter for the move. */
  readonly remarks: readonly Finding[];
  /** Evidence that the server is still running. */
  readonly alive: readonly Finding[];
}

/** Throws `program-missing`: without it there is no bundle. */
export async function mustHaveGpg({ programs }: Pick<System, "programs">): Promise<void> {
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
  system: System,
): Promise<Source> {
  const { files } = system;
  await mustBeFolder(homeserver, system);
  const alive = await signsOfAll(homeserver, system);
  const { database, marker, inUse } = await findDatabase(homeserver, system);
  const media = await storeState(homeserver.mediaStore, files, keptFolders({ ...kept, origins: [] }));
  const remarks = await schemasOf(database, system);
  return { database, marker, media, remarks, alive: [...alive, ...inUse] };
}

async function mustBeFolder({ mediaStore, workingFolder }: Homeserver, { files }: System): Promise<void> {
  const found = await files.follow(mediaStore);
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
export function mustBePlain(
  { odd, nameless, closed }: Pick<StoreState, "odd" | "nameless" | "closed">,
  store: string,
  accepted: readonly string[],
): void {
  const unreadableAccepted = accepted.includes(MEDIA_UNREADABLE);
  refuseUnreadable(closed.some, closed.count, { store, unreadableAccepted });
  if (odd.count + nameless.count === 0 || accepted.includes(MEDIA_ODD)) return;
  const holds = [
    ...listed("links or other entries that are not regular files", odd),
    ...listed("entries whose names are not UTF-8, so that they cannot be opened", nameless),
  ];
  throw new MigrationError("media-missing", `the media store ${store} holds ${holds.join("; and ")}`, {
    hint: `${odd.count === 0 ? "Synapse does not create such names: move them out of the store" : "replace links with the files they point to, and move everything that is not Synapse's out of the store"}, or continue without them: --accept ${MEDIA_ODD}`,
  });
}

function listed(what: string, { count, some }: Listed): string[] {
  const more = count > 3 ? ` and ${count - 3} more` : "";
  return count === 0 ? [] : [`${what}: ${some.slice(0, 3).join(", ")}${more}`];
}

/** Throws `homeserver-running`: data written after the dump would be lost. */
export function mustBeDown(alive: readonly Finding[]): void {
  if (alive.length === 0) return;
  const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": "));
  throw new MigrationError("homeserver-running", `the homeserver is still running: ${seen.join("; ")}`, {
    hint: "give what stops it: --unit NAME, --container NAME or --stop-command COMMAND; or stop it and its workers yourself; or rehearse on the running server: --rehearse",
  });
}

/**
 * Checks again when everything is packed: a server that was started in the meantime wrote data that no dump has.
 * Throws `homeserver-running`, `source-changed`.
 */
export async function mustHaveStayedDown(
  homeserver: Homeserver,
  source: Source,
  system: System,
): Promise<void> {
  mustBeDown(await signsOf(homeserver, source, system));
  if ((await markerOf(source.database, system)) === source.marker) return;
  throw new MigrationError(
    "source-changed",
    `the database of ${homeserver.serverName} was written to during the export`,
    {
      hint: "something started the server in the meantime: stop it permanently, then run the same command again; only the database is packed again",
    },
  );
}

/** Of the authentication service as well: what it writes after its dump would be lost too. */
const signsOfAll = async (homeserver: Homeserver, system: System) => [
  ...(await signsOfLife(homeserver, system)),
  ...(homeserver.mas ? masProcesses(homeserver.mas, system.machine) : []),
];

/** All evidence that the server is running now. */
export async function signsOf(homeserver: Homeserver, source: Source, system: System): Promise<Finding[]> {
  return [...(await signsOfAll(homeserver, system)), ...(await usersOf(source.database, system))];
}

/** The state of the same source after the stop. */
export async function downNow(
  homeserver: Homeserver,
  source: Source,
  kept: Kept,
  system: System,
): Promise<Source> {
  const marker = await markerOf(source.database, system);
  return {
    ...source,
    alive: [],
    marker,
    media: await storeState(homeserver.mediaStore, system.files, keptFolders(kept)),
  };
}

/** The findings about the source, for the report and for a dry run. */
export function sourceFindings(
  homeserver: Homeserver,
  { database, media, alive, remarks }: Source,
  rehearsal: boolean,
): Finding[] {
  const { serverName, mediaStore } = homeserver;
  return [
    {
      id: "source-database",
      level: "ok",
      sentence: `the database of ${serverName} is ${databaseWords(database)}`,
    },
    ...remarks,
    {
      id: "source-media",
      level: "ok",
      sentence: `${formatCount(media.files)} local media files, ${formatBytes(media.bytes)}, in ${mediaStore}`,
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
            : `${serverName} is running: a real export stops it`,
        },
    ...(media.odd.count + media.nameless.count === 0
      ? []
      : [
          {
            id: MEDIA_ODD,
            level: "warning" as const,
            sentence: `${formatCount(media.odd.count + media.nameless.count)} entries in the media store are not regular files, or have names that are not UTF-8, and were not packed`,
            evidence: [...media.odd.some, ...media.nameless.some].slice(0, 20),
            hint: "Synapse creates no links in a media store: replace each with a copy of what it points to",
          },
        ]),
  ];
}
