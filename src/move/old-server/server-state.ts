import { join } from "node:path";
import { z } from "zod";
import { JOURNAL, LOCK } from "../../bundle/layout.ts";
import { MigrationError, tryRead } from "../../errors.ts";
import { FollowRecord } from "../../homeserver/database/follow/record.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { Journal } from "../../journal/journal.ts";
import { isHolderGone, readLockHolder } from "../../journal/lock.ts";
import type { System } from "../../system/system.ts";
import { sourceNow } from "./changed-since.ts";
import { findExportSource } from "./find-source.ts";
import { OUTAGE_SINCE } from "./journal-facts.ts";
import { findLifted } from "./lifted.ts";

/** Version of question and answer, whatever those of the other messages are. */
export const STATE_VERSION = 1;

/** The new host's question, the first message to synlift on the old host; nothing follows its answer. */
export const stateQuestion = z.object({ type: z.literal("old-server"), version: z.number() });

const stateSchema = z.object({
  type: z.literal("old-server"),
  version: z.number(),
  /** The server name; null where neither the record nor the host shows one. */
  subject: z.string().nullable(),
  /** "none": nothing was changed in that folder. "stopped": it can be started again. Times are ISO 8601. */
  fence: z.enum(["none", "undone", "stopped", "fenced"]),
  undoneAt: z.string().nullable(),
  /** What of the fence is no longer there, a sentence each. */
  lifted: z.array(z.string()),
  outageSince: z.string().nullable(),
  server: z.enum(["running", "written", "unchanged", "unknown"]),
  /** By what it is seen that it runs, or why it is not known. */
  signs: z.array(z.string()),
  /** Another run of synlift works in that folder at the moment. */
  busy: z.boolean(),
  /** What was made in PostgreSQL so that a copy can follow, as far as it is not undone; null where there never was any. */
  follow: z
    .object({
      id: z.string(),
      hasRole: z.boolean(),
      hasSlot: z.boolean(),
      undoneAt: z.string().nullable(),
    })
    .nullable(),
});

/** How the old server is, as synlift on the old host tells the new one. No secret. */
export type OldServerState = z.infer<typeof stateSchema>;

/** Throws `connection-failed` for anything else. */
export function parseServerState(message: unknown): OldServerState {
  const found = stateSchema.safeParse(message);
  if (found.success) return found.data;
  throw new MigrationError("connection-failed", "the old host sent an unexpected message", {
    hint: "use the same version of synlift on both hosts",
  });
}

/**
 * Looks at the old server and at the records in a folder of this host. Changes nothing, and may run beside a rollback. Throws
 * `other-machine` for records of another machine, `bundle-damaged`.
 */
export async function lookAtServer(
  { folder, given }: { readonly folder: string; readonly given: GivenSource },
  system: System,
): Promise<OldServerState> {
  const { files, machine } = system;
  const record = await FenceRecord.read(folder, files, machine);
  record?.assertMadeHere();
  const followed = await FollowRecord.read(folder, files, machine);
  followed?.assertMadeHere();
  const holder = await readLockHolder(join(folder, LOCK), files);
  const journal = await tryRead(() => Journal.read(join(folder, JOURNAL), files));
  const kinds = new Set(followed?.activeChanges.map(({ kind }) => kind));
  return {
    type: "old-server",
    version: STATE_VERSION,
    ...(record ? await lookAtRecorded(record, system) : await lookAtUnrecorded(folder, given, system)),
    undoneAt: record?.rolledBackAt ?? null,
    outageSince: journal?.facts[OUTAGE_SINCE] ?? null,
    busy: holder !== undefined && !isHolderGone(holder, machine),
    follow: followed
      ? {
          id: followed.id,
          hasRole: kinds.has("role"),
          hasSlot: kinds.has("slot"),
          undoneAt: followed.undoneAt ?? null,
        }
      : null,
  };
}

type Seen = Pick<OldServerState, "subject" | "fence" | "lifted" | "server" | "signs">;

async function lookAtRecorded(record: FenceRecord, system: System): Promise<Seen> {
  const now = await sourceNow(record, system);
  const seen = {
    subject: record.subject,
    server: now.kind,
    signs: now.kind === "running" ? [...now.signs] : now.kind === "unknown" ? [now.why] : [],
  };
  if (record.activeChanges.length === 0)
    return { ...seen, fence: record.rolledBackAt === undefined ? "none" : "undone", lifted: [] };
  const { lifted } = await findLifted(record, system);
  return { ...seen, fence: record.preventsStart ? "fenced" : "stopped", lifted: [...lifted] };
}

/** Nothing was changed here: whether a server runs is all that can be seen. */
async function lookAtUnrecorded(folder: string, given: GivenSource, system: System): Promise<Seen> {
  const nothing = { fence: "none" as const, lifted: [] };
  try {
    const { homeserver } = await findExportSource({ ...given, withoutMas: true }, folder, system);
    const alive = await findActivity(homeserver, system);
    return {
      ...nothing,
      subject: homeserver.serverName,
      server: alive.length > 0 ? "running" : "unchanged",
      signs: alive.map(({ sentence }) => sentence),
    };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { ...nothing, subject: null, server: "unknown", signs: [error.message] };
  }
}
