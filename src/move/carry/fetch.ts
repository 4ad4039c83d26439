import { join } from "node:path";
import { FETCHED, LOCK, MANIFEST, SAFE_NAME } from "../../bundle/layout.ts";
import { type Manifest, parseManifest, type Part } from "../../bundle/manifest.ts";
import { MigrationError } from "../../errors.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { Files } from "../../system/files/files.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { keepConnections } from "../../transfer/kept-connections.ts";
import { Receipts } from "../../transfer/receipts.ts";
import type { Destination } from "../../transfer/remote.ts";
import { type Persistence, transferEach } from "../../transfer/transfer-each.ts";
import { COMPANIONS, partsOf } from "./bundle-files.ts";

export interface FetchOrder {
  readonly source: Destination;
  /** Folder here: new, empty, or from an earlier run. */
  readonly folder: string;
  readonly persistence: Persistence;
  readonly dryRun: boolean;
}

export interface FetchResult {
  readonly kind: "fetched" | "dry-run";
  readonly address: string;
  readonly folder: string;
  readonly manifest: Manifest;
  readonly files: number;
  readonly bytes: number;
  /** What this run fetched, or would. */
  readonly due: readonly Part[];
  readonly seconds: number;
  readonly findings: readonly Finding[];
}

/** Bytes of a manifest, and of each file that it does not list. */
const SMALL_FILE_LIMIT = 16 * 1024 * 1024;

type Host = Pick<System, "files" | "machine" | "signal">;

/**
 * Fetches a bundle into a folder here. Each file gets its name only once its size and hash were compared with the manifest, which is
 * written last. An interrupted run is continued by the next one.
 *
 * Throws `bundle-incomplete` when there is no manifest, `target-not-empty`, `bundle-mismatch`, `bundle-in-use`, `disk-full`, and
 * what `transferEach` throws.
 */
export async function fetchBundle(order: FetchOrder, system: Host, progress: Progress): Promise<FetchResult> {
  const source = keepConnections(order.source);
  try {
    return await fetchOver({ ...order, source }, system, progress);
  } finally {
    await source.close();
  }
}

async function fetchOver(order: FetchOrder, system: Host, progress: Progress): Promise<FetchResult> {
  const { source, folder, dryRun } = order;
  const { files, machine, signal } = system;
  const { text, manifest, companions } = await readThere(source, signal);
  await assertMayFetchInto(folder, manifest, files);
  if (dryRun && !(await files.lstat(folder)))
    return describe(order, manifest, partsOf(manifest), 0, "dry-run");
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await acquireLock(join(folder, LOCK), files, machine);
  try {
    const receipts = await Receipts.open(join(folder, FETCHED), files);
    const due: Part[] = [];
    for (const part of partsOf(manifest)) if (!(await isHere(part, folder, receipts, files))) due.push(part);
    if (dryRun) return describe(order, manifest, due, 0, "dry-run");
    await assertRoom(due, folder, files);
    const began = machine.elapsed();
    await transferEach(
      due,
      source,
      async (remote, part, attempt) => {
        await remote.get(part, folder, attempt);
        await receipts.record(HERE, part, "read-back", machine.now());
      },
      { ...order.persistence, create: false, task: { id: "fetch", label: `fetch from ${source.address}` } },
      { machine, signal, progress },
    );
    for (const { name, bytes } of companions) await files.writeAtomically(join(folder, name), bytes);
    await files.writeAtomically(join(folder, MANIFEST), text);
    return describe(order, manifest, due, (machine.elapsed() - began) / 1000, "fetched");
  } finally {
    await held.release();
  }
}

/** The receipts of a folder are of its own files, wherever these came from. */
const HERE = "here";

function describe(
  { source: { address }, folder }: FetchOrder,
  manifest: Manifest,
  due: readonly Part[],
  seconds: number,
  kind: FetchResult["kind"],
): FetchResult {
  const all = partsOf(manifest);
  const bytes = all.reduce((sum, { size }) => sum + size, 0);
  return { kind, address, folder, manifest, files: all.length, bytes, due, seconds, findings: [] };
}

/** The manifest, and what stands beside it for people; a companion that is missing or too large is left there. */
async function readThere({ address, open }: Destination, signal: AbortSignal) {
  const remote = await open(signal, { create: false });
  try {
    const bytes = await remote.read(MANIFEST, SMALL_FILE_LIMIT, signal);
    if (bytes === undefined)
      throw new MigrationError(
        "bundle-incomplete",
        `${address} has no ${MANIFEST}: no complete bundle is there`,
        {
          hint: "wait until the bundle was sent completely; the manifest comes last",
        },
      );
    const text = new TextDecoder().decode(bytes);
    const have = await remote.have(signal);
    const companions: { name: string; bytes: Uint8Array }[] = [];
    for (const name of COMPANIONS) {
      if ((have.get(name) ?? Infinity) > SMALL_FILE_LIMIT) continue;
      const found = await remote.read(name, SMALL_FILE_LIMIT, signal);
      if (found) companions.push({ name, bytes: found });
    }
    return { text, manifest: parseManifest(text, `${address}/${MANIFEST}`), companions };
  } finally {
    await remote.close();
  }
}

async function assertMayFetchInto(folder: string, { id }: Manifest, files: Files): Promise<void> {
  const found = await files.stat(folder);
  if (found === undefined) return;
  if (found.kind !== "folder")
    throw new MigrationError("target-not-empty", `${folder} is not a folder`, {
      hint: "choose another folder",
    });
  const names = await files.list(folder);
  const foreign = names.filter((name) => name !== LOCK && !name.startsWith(`${LOCK}.`));
  if (foreign.length > 0 && !names.includes(FETCHED))
    throw new MigrationError(
      "target-not-empty",
      `${folder} is not empty: it contains ${
        foreign
          .filter((name) => SAFE_NAME.test(name))
          .slice(0, 3)
          .join(", ") || "other files"
      }`,
      { hint: "choose a new or an empty folder" },
    );
  if (!names.includes(MANIFEST)) return;
  const path = join(folder, MANIFEST);
  const here = parseManifest(await files.readText(path), path);
  if (here.id !== id)
    throw new MigrationError("bundle-mismatch", `${folder} already has another bundle, ${here.id}`, {
      hint: "choose another folder",
    });
}

/** A file gets its name after the comparison, so size and receipt suffice; `verify` reads all of them. */
async function isHere(part: Part, folder: string, receipts: Receipts, files: Files): Promise<boolean> {
  const entry = await files.lstat(join(folder, part.name));
  return entry?.kind === "file" && entry.size === part.size && receipts.find(HERE, part) !== undefined;
}

async function assertRoom(due: readonly Part[], folder: string, files: Files): Promise<void> {
  const needed = due.reduce((sum, { size }) => sum + size, 0);
  const { free } = await files.diskSpace(folder);
  // What an earlier run has of a file is already on the disk, so this may ask for too much by less than a file.
  const largest = due.reduce((most, { size }) => Math.max(most, size), 0);
  if (free >= needed - largest) return;
  throw new MigrationError(
    "disk-full",
    `${folder} has ${formatBytes(free)} of free space, but ${formatBytes(needed)} are to be fetched`,
    { hint: "choose a folder on a larger disk: --out" },
  );
}
