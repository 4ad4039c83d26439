import { join } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import { formatCount, formatMode } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import { quoteShellWord } from "../../../system/shell-quoting.ts";
import { entriesOfUpload } from "../compare/since.ts";
import { LOCAL_FOLDERS } from "./layout.ts";

const SHOWN = 20;

/** Who may look, and at what. */
interface OwnersOrder {
  readonly files: Files;
  readonly signal: AbortSignal;
  /** All belonged to the account then, in milliseconds since 1970, and only these uploads are looked at; all of it when left out. */
  readonly since?: { readonly at: number; readonly ids: readonly string[] } | undefined;
}

interface OwnersSeen {
  /** Files and folders that were looked at. */
  readonly count: number;
  /** Those that the account cannot use, or that everybody may write to. */
  readonly wrong: number;
  /** The first of them, in words. */
  readonly faults: readonly string[];
}

/**
 * Whether files and folders of local media belong to an account, any when it is undefined, and have modes with which it can use them. Reads no
 * file; memory does not grow with their number.
 */
export async function lookAtOwners(
  store: string,
  uid: number | undefined,
  { files, signal, since }: OwnersOrder,
): Promise<OwnersSeen> {
  const faults: string[] = [];
  let count = 0;
  let wrong = 0;
  const judge = (path: string, owner: number | undefined, mode: number, wanted: number) => {
    count += 1;
    const isTheirs = uid === undefined || owner === undefined || owner === uid;
    const fault = !isTheirs
      ? `belongs to user id ${owner}`
      : (mode & wanted) !== wanted
        ? `has mode ${formatMode(mode)}, its owner cannot use it`
        : (mode & 0o002) !== 0
          ? `has mode ${formatMode(mode)}, everybody may write to it`
          : undefined;
    if (fault === undefined) return;
    wrong += 1;
    if (faults.length < SHOWN) faults.push(`${path} ${fault}`);
  };
  for (const folder of [store, ...LOCAL_FOLDERS.map((one) => join(store, one))]) {
    const found = await files.stat(folder);
    if (found) judge(folder, found.uid, found.mode, 0o700);
  }
  for (const folder of since ? [] : LOCAL_FOLDERS) {
    for await (const batch of files.walk(join(store, folder), signal, { folders: true })) {
      for (const { name: below, kind, mode, uid: owner } of batch) {
        const path = join(store, folder, below);
        if (kind === "file") judge(path, owner, mode, 0o400);
        else if (kind === "folder") judge(path, owner, mode, 0o700);
        else if (kind === "closed") judge(path, owner, 0, 0o500);
      }
    }
  }
  const seen = new Set<string>();
  for (const upload of since?.ids ?? []) {
    for await (const entry of entriesOfUpload(upload, { store, files, folders: true })) {
      const { name, kind, uid: owner, mode } = entry;
      if (seen.has(name) || (kind !== "file" && kind !== "folder")) continue;
      seen.add(name);
      judge(join(store, name), owner, mode, kind === "file" ? 0o400 : 0o700);
    }
  }
  return { count, wrong, faults };
}

/**
 * The gate: the account that runs Synapse can read each file of local media, and write to its folders. A media store with the wrong
 * owner is the most frequent error after a move.
 */
export async function verifyMediaOwners(
  store: string,
  /** Whom all is to belong to; any when left out. */
  { uid, name }: { uid: number | undefined; name: string },
  order: OwnersOrder,
): Promise<Finding> {
  const id = "media-owners";
  const { count, wrong, faults } = await lookAtOwners(store, uid, order);
  const { since } = order;
  if (wrong > 0)
    return {
      id,
      level: "blocker",
      sentence: `${formatCount(wrong)} of ${formatCount(count)} files and folders of media in ${store} have the wrong owner or mode for ${name}`,
      evidence: faults,
      hint: `change their owner to the account that runs Synapse: chown -R ACCOUNT: ${quoteShellWord(store)}`,
    };
  return {
    id,
    level: "ok",
    sentence: since
      ? `all media in ${store} belonged to ${name} on ${new Date(since.at).toISOString()}; those that came since, and others at random, still do: ${formatCount(count)} files and folders`
      : `${formatCount(count)} files and folders of media in ${store} belong to ${name}`,
  };
}
