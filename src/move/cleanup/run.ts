import { join } from "node:path";
import { LOCK, MANIFEST } from "../../bundle/layout.ts";
import { bundleTime, parseManifest } from "../../bundle/manifest.ts";
import { MigrationError, tryRead } from "../../errors.ts";
import { privateCopyFolder } from "../../homeserver/database/sqlite/private-copy.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { Journal } from "../../journal/journal.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import { formatDuration } from "../../report/units.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { BestEffort } from "../old-server/best-effort.ts";
import { followedFindings, readFollowed, unfollow } from "../old-server/followed.ts";
import { noProgress } from "../../system/progress.ts";
import { findRecord } from "../restore/record.ts";
import { findNewServer } from "../rollback/new-server.ts";
import { filesOfBundle, filesOfRestore, type LeftFile } from "./items.ts";

export interface CleanupOrder {
  /** Folder of the bundle, as given to export, send, fetch or restore. */
  readonly folder: string | undefined;
  /** The folder that restore was given for the configuration, on the new host. */
  readonly configFolder: string | undefined;
  /** Base address of the new server, for the old host. */
  readonly target: string | undefined;
  /** Days after the opening during which nothing is removed. */
  readonly days: number;
  readonly yes: boolean;
}

export interface CleanupResult {
  /** "refused": it may not be removed yet, and `findings` say why. */
  readonly kind: "listed" | "removed" | "refused";
  readonly left: readonly LeftFile[];
  readonly findings: readonly Finding[];
}

const DAY_MS = 24 * 3600 * 1000;

/**
 * What is left of a move on this host. With `yes` it is removed: only files that synlift made and that nobody needs any
 * more, only after the new server was opened, and after the waiting time. The old database, the media and the configuration are
 * never removed. May be repeated after an interruption.
 *
 * Throws `bundle-incomplete` when no move left anything there, `bundle-in-use`, `bundle-damaged`.
 */
export async function cleanUp(order: CleanupOrder, system: System): Promise<CleanupResult> {
  const { folder, yes } = order;
  const { files, machine } = system;
  const { left, kept } = await findLeft(order, system);
  if (left.length === 0 && kept.length === 0)
    throw new MigrationError(
      "bundle-incomplete",
      `no move has left anything in ${[folder, order.configFolder].filter(Boolean).join(" or ")}`,
      { hint: "name the folder given to export with --out, or to restore with --config-dir" },
    );
  const blockers = await findBlockers(order, system);
  const findings = [...blockers, ...kept];
  if (!yes) return { kind: "listed", left, findings };
  if (blockers.some(({ level }) => level === "blocker")) return { kind: "refused", left, findings };
  const held =
    folder !== undefined && (await files.lstat(folder))?.kind === "folder"
      ? await acquireLock(join(folder, LOCK), files, machine)
      : undefined;
  try {
    const undone = await unfollowFirst(folder, system);
    if (undone.length > 0) return { kind: "refused", left, findings: [...undone, ...findings] };
    for (const { path, kept: isKept } of left) if (!isKept) await files.remove(path);
    if (folder !== undefined) await removeIfEmpty(privateCopyFolder(folder), system);
  } finally {
    await held?.release();
  }
  if (folder !== undefined) await removeIfEmpty(folder, system);
  return { kind: "removed", left, findings: kept };
}

/** The record of what a follow changed may go only when all of it is undone; returns why it is not. */
async function unfollowFirst(folder: string | undefined, system: System): Promise<readonly Finding[]> {
  if (folder === undefined) return [];
  const record = await readFollowed(folder, system);
  if (!record || record.madeElsewhere) return [];
  const { findings } = await unfollow(record, folder, new BestEffort(), system, noProgress);
  return record.activeChanges.length > 0 ? findings : [];
}

async function findLeft(
  { folder, configFolder }: CleanupOrder,
  system: System,
): Promise<{ left: LeftFile[]; kept: Finding[] }> {
  const { files, machine } = system;
  const left: LeftFile[] = [];
  const kept: Finding[] = [];
  if (folder !== undefined) {
    left.push(...(await filesOfBundle(folder, files)));
    const fence = await tryRead(() => FenceRecord.read(folder, files, machine));
    const followed = await tryRead(() => readFollowed(folder, system));
    if (followed && followed.madeElsewhere === undefined)
      kept.push(...(await followedFindings(followed, folder, system)));
    if (fence && fence.madeElsewhere === undefined && fence.activeChanges.length > 0)
      kept.push({
        id: "old-server-kept",
        level: "note",
        sentence: `the old server of ${fence.subject} stays as it is: its database, its media and its configuration, and the fence`,
        evidence: fence.source.configPaths.map((path) => `its configuration: ${path}`),
        hint: "once nobody needs them: media of other servers, old database and media store are removed with your own hands",
      });
  }
  const record = configFolder === undefined ? undefined : await findRecord(configFolder, files);
  if (record && configFolder !== undefined) {
    left.push(...(await filesOfRestore(configFolder, record, files)));
    if (record.tried !== undefined && record.opened === null)
      kept.push({
        id: "trial-kept",
        level: "note",
        sentence: `${configFolder} is a restore that was used in a trial on ${record.tried}; its database, media and configuration stay`,
        hint: `drop its database, then remove ${quoteShellWord(record.mediaStore)} and ${quoteShellWord(configFolder)}`,
      });
  }
  return { left, kept };
}

/** Why nothing may be removed yet: it is not known that the new server was opened, or it was opened only lately. */
async function findBlockers(order: CleanupOrder, system: System): Promise<Finding[]> {
  const opened = await findOpened(order, system);
  if (opened === undefined)
    return [
      {
        id: "not-opened",
        level: "blocker",
        sentence:
          "it is not known that the new server was opened: until then the bundle and the fence are needed",
        hint: "on the new host, give --config-dir as to restore; on the old host, give the new server's address: --target https://new.example.org",
      },
    ];
  const waited = system.machine.now() - opened.at;
  const left = order.days * DAY_MS - waited;
  if (left <= 0) return [];
  return [
    {
      id: "waiting",
      level: "blocker",
      sentence: `${opened.how}; ${formatDuration(left / 1000)} of ${order.days} days of waiting are left`,
      hint: "a fault of the move may be noticed late: wait, or give a shorter time: --after",
    },
  ];
}

/** When the new server was opened, by its record here; or, where it only answers, the earliest time at which it can have been. */
async function findOpened(
  { folder, configFolder, target }: CleanupOrder,
  system: System,
): Promise<{ at: number; how: string } | undefined> {
  const { files, machine } = system;
  const record = configFolder === undefined ? undefined : await findRecord(configFolder, files);
  const bundle = folder === undefined ? undefined : await bundleIn(folder, system);
  if (record?.opened && !record.rehearsal && (bundle === undefined || bundle.subject === record.serverName))
    return { at: Date.parse(record.opened), how: `${record.serverName} was opened on ${record.opened}` };
  if (target === undefined || folder === undefined) return undefined;
  const fence = await FenceRecord.read(folder, files, machine);
  // The old server itself may answer there again.
  if (fence?.rolledBackAt !== undefined) return undefined;
  const serverName = bundle?.subject ?? fence?.subject;
  if (bundle === undefined || serverName === undefined) return undefined;
  const found = await findNewServer(
    { configFolder: undefined, target },
    { serverName, homeserver: undefined },
    system,
  );
  if (found.state !== "opened") return undefined;
  return {
    at: bundle.at,
    how: `${target} answers as ${serverName}, whose bundle was sealed on ${new Date(bundle.at).toISOString()}`,
  };
}

/** The homeserver of the move, and when its bundle was complete; undefined for a rehearsal and what was never complete. */
async function bundleIn(
  folder: string,
  { files }: System,
): Promise<{ subject: string; at: number } | undefined> {
  const path = join(folder, MANIFEST);
  if (await files.lstat(path)) {
    const manifest = parseManifest(await files.readText(path), path);
    return manifest.rehearsal
      ? undefined
      : { subject: manifest.subject, at: Date.parse(bundleTime(manifest)) };
  }
  // After an interrupted cleanup the manifest is gone, and the journal has the last step.
  const journal = await Journal.read(join(folder, "journal.json"), files);
  const { subject, kind } = journal?.facts ?? {};
  const last = Math.max(...Object.values(journal?.steps ?? {}).map(({ at }) => Date.parse(at)));
  if (subject === undefined || kind !== "move" || !Number.isFinite(last)) return undefined;
  return { subject, at: last };
}

async function removeIfEmpty(folder: string, { files }: System): Promise<void> {
  if ((await files.lstat(folder))?.kind !== "folder") return;
  if ((await files.list(folder)).length === 0) await files.removeEmptyFolder(folder);
}
