import { MigrationError } from "../../errors.ts";
import { connect } from "../../homeserver/database/address.ts";
import { databaseMarker, masMarker } from "../../homeserver/database/count.ts";
import { fileMarker } from "../../homeserver/database/file-state.ts";
import { type OpenDatabase, openReadOnly, openStateReadOnly } from "../../homeserver/database/open.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import type { MadeOn } from "../../journal/made-on.ts";
import type { Lifted } from "./lifted.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/** How the server of a record is now: whether it runs, or has written since it was fenced. Changes nothing. */
export type SourceNow =
  | { readonly kind: "running"; readonly signs: readonly string[] }
  | { readonly kind: "written" }
  | { readonly kind: "unchanged" }
  /** It could not be looked at. */
  | { readonly kind: "unknown"; readonly why: string };

export async function sourceNow(record: FenceRecord, system: System): Promise<SourceNow> {
  try {
    const homeserver = await readHomeserver({ ...record.source, signal: system.signal }, system.files);
    const alive = await findActivity(homeserver, system);
    if (alive.length > 0) return { kind: "running", signs: alive.map(({ sentence }) => sentence) };
    // Without a fence there was no moment from which on nothing was written.
    if (record.marker === null) return { kind: "unchanged" };
    return { kind: (await markerNow(homeserver, system)) === record.marker ? "unchanged" : "written" };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { kind: "unknown", why: error.message };
  }
}

/**
 * Whether the old server has run or written since it was fenced: then the bundle, or the restored server, is out of date.
 * Changes nothing.
 */
export async function changedSinceFenced(
  record: FenceRecord,
  sent: boolean,
  system: System,
): Promise<Finding[]> {
  const again = sent
    ? "drop the new database, and run the same pull again on the new host"
    : "run the same export again";
  if (record.activeChanges.length === 0) return [];
  const now = await sourceNow(record, system);
  switch (now.kind) {
    case "unchanged":
      return [];
    case "running":
      return [
        {
          id: "source-up",
          level: "warning",
          sentence: `${record.subject} ${record.marker === null ? "still runs on this host: the export has not stopped it" : "runs on this host although it was stopped for the move"}`,
          evidence: now.signs,
          hint: `stop it, and ${again}; or, to cancel the move, run synlift rollback`,
        },
      ];
    case "written":
      return [
        {
          id: "source-written-since",
          level: "warning",
          sentence: sent
            ? `the database of ${record.subject} was written to after it was sent: the new host does not have these changes`
            : `the database of ${record.subject} was written to after it was packed: the bundle does not contain these changes`,
          hint: `${again}: it ${sent ? "sends" : "packs"} the database again`,
        },
      ];
    case "unknown":
      return [
        {
          id: "source-not-checked",
          level: "note",
          sentence: `whether ${record.subject} was written to since it was ${sent ? "sent" : "packed"} could not be checked: ${now.why}`,
        },
      ];
  }
}

async function markerNow(homeserver: Homeserver, system: System): Promise<string> {
  const { database, mas } = homeserver;
  const looks = [];
  const isFile = database.kind === "sqlite";
  if (!isFile) looks.push(await openReadOnly(homeserver, false, system));
  looks.push(await openStateReadOnly(homeserver, false, system));
  const markers = isFile ? [await fileMarker(database.path, system.files)] : [];
  for (const look of looks) if (look) markers.push(await markerOf(look, databaseMarker));
  if (mas) markers.push(await markerOf(await connect(mas.address, system, homeserver.mediaStore), masMarker));
  // In the order of `markerOf` in database/source.ts.
  return markers.join("+");
}

const markerOf = ({ session }: Pick<OpenDatabase, "session">, marker: typeof databaseMarker) =>
  marker(session).finally(() => session.close());

/** For `status` on another machine than the one that was changed. */
export function madeElsewhereFinding({ hostname }: MadeOn, record: FenceRecord | undefined): Finding {
  const changes = record?.activeChanges ?? [];
  return {
    id: "other-machine",
    level: "warning",
    sentence:
      changes.length === 0
        ? `this folder was made on ${hostname}, not on this machine: nothing is fenced here`
        : `this folder was made on ${hostname}, not on this machine: the fence is there, and nothing is fenced here`,
    evidence: changes.map(({ kind, name }) => `on ${hostname}: ${CHANGE_TEXT[kind]}: ${name}`),
    hint: `run synlift status, export and rollback on ${hostname}`,
  };
}

/** Before anything in a record is acted on that does not say on which machine it holds; empty for any other record. */
export function machineUnknownFindings(record: FenceRecord | undefined): Finding[] {
  if (!record?.isMachineUnknown || record.activeChanges.length === 0) return [];
  return [
    {
      id: "machine-unknown",
      level: "warning",
      sentence: `the record of the fence does not say on which machine ${record.subject} was fenced, because an earlier version of synlift made it`,
      evidence: record.activeChanges.map(({ kind, name }) => `${CHANGE_TEXT[kind]}: ${name}`),
      hint: "make sure that this is the old host: if the folder was copied here, these changes were made elsewhere",
    },
  ];
}

/** The changes to this host that are recorded, for `status`; `lifted` are those that are no longer in effect. */
export function fenceFindings(
  record: FenceRecord,
  { lifted, unknown }: Lifted = { lifted: [], unknown: [] },
): Finding[] {
  const { activeChanges, subject, preventsStart } = record;
  if (activeChanges.length === 0) {
    const sentence =
      record.rolledBackAt === undefined
        ? "this export has changed nothing on this host"
        : "all changes on this host were undone";
    return [{ id: "fence", level: "note", sentence }];
  }
  const evidence = activeChanges.map(
    ({ kind, name, made }) => `${CHANGE_TEXT[kind]}: ${name}, ${made === null ? "begun" : `since ${made}`}`,
  );
  if (activeChanges.some(({ made }) => made === null)) {
    return [
      {
        id: "fence",
        level: "warning",
        sentence: preventsStart
          ? `${subject} is fenced on this host, but the fence is not complete`
          : `${subject} may still be running on this host; it is not fenced yet`,
        evidence,
        hint: "run the same export again to continue, or undo the changes with synlift rollback",
      },
    ];
  }
  if (preventsStart && lifted.length > 0) {
    return [
      {
        id: "fence-lifted",
        level: "warning",
        sentence: `${subject} was fenced on this host, but part of the fence is no longer there: it may be started, or write`,
        evidence: lifted,
        hint: "run the same export again to set the fence again, or cancel the move with synlift rollback",
      },
    ];
  }
  const words = preventsStart
    ? "is fenced on this host; synlift rollback lifts the fence"
    : "was stopped on this host, but is not fenced: it can be started again";
  const fence: Finding = {
    id: "fence",
    level: preventsStart ? "ok" : "note",
    sentence: `${subject} ${words}`,
    evidence,
  };
  if (unknown.length === 0) return [fence];
  const sentence = "whether the whole fence is still there could not be checked";
  return [fence, { id: "fence-not-checked", level: "note", sentence, evidence: unknown }];
}

const CHANGE_TEXT: Readonly<Record<FenceRecord["activeChanges"][number]["kind"], string>> = {
  "unit-enabled": "unit disabled",
  "unit-running": "unit stopped",
  "unit-masked": "unit masked",
  "unit-held": "unit blocked by a drop-in",
  "restart-policy": "restart policy removed",
  "container-running": "container stopped",
  running: "stopped",
  "role-writes": "database role read-only",
  "web-server": "the web server answered for it",
  "file-writes": "file read-only",
};
