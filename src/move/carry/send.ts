import { join } from "node:path";
import { isFileOfArtifact, LOCK, MANIFEST, SENT } from "../../bundle/layout.ts";
import { type Manifest, parseManifest } from "../../bundle/manifest.ts";
import { Bundle } from "../../bundle/reader.ts";
import { MigrationError } from "../../errors.ts";
import { acquireLock } from "../../journal/lock.ts";
import { Digester } from "../../pipeline/digest.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { keepConnections } from "../../transfer/kept-connections.ts";
import { Receipts } from "../../transfer/receipts.ts";
import type { Destination, LocalFile, Proof, Remote } from "../../transfer/remote.ts";
import { type Persistence, transferEach } from "../../transfer/transfer-each.ts";
import { partsOf, readCompanions } from "./bundle-files.ts";

export interface SendOrder {
  /** Folder of the bundle. */
  readonly folder: string;
  readonly destination: Destination;
  readonly persistence: Persistence;
  /** Compares also the files that an earlier run has a receipt of. */
  readonly check: boolean;
  readonly dryRun: boolean;
}

export interface SendResult {
  readonly kind: "sent" | "dry-run";
  readonly address: string;
  readonly manifest: Manifest;
  /** Of the whole bundle. */
  readonly files: number;
  readonly bytes: number;
  /** What this run sent or compared; in a dry run, what it would. */
  readonly due: readonly LocalFile[];
  readonly seconds: number;
  /** How many files were compared in which way, in whichever run. */
  readonly proofs: Readonly<Partial<Record<Proof, number>>>;
  readonly findings: readonly Finding[];
}

type Host = Pick<System, "files" | "machine" | "signal">;

/** Bytes of a manifest over there. */
const MANIFEST_LIMIT = 16 * 1024 * 1024;

/**
 * Sends a sealed bundle. Each file is there under its name only once its size and hash were compared there, and the manifest
 * comes last. An interrupted run is continued by the next one: a receipt of each file tells it what need not be compared again.
 *
 * Throws what `Bundle.open` and `transferEach` throw; `bundle-mismatch` when another bundle is there; `bundle-in-use` while
 * another run sends this one.
 */
export async function sendBundle(order: SendOrder, system: Host, progress: Progress): Promise<SendResult> {
  const { folder } = order;
  const bundle = await Bundle.open(folder, system.files);
  const held = await lockIfWritable(folder, system);
  const destination = keepConnections(order.destination);
  try {
    return await sendLocked({ ...order, destination }, bundle, system, progress);
  } finally {
    await destination.close();
    await held?.release();
  }
}

async function sendLocked(
  order: SendOrder,
  { manifest }: Bundle,
  system: Host,
  progress: Progress,
): Promise<SendResult> {
  const { folder, destination, persistence, check, dryRun } = order;
  const { files, machine, signal } = system;
  const { address } = destination;
  const receipts = await Receipts.open(join(folder, SENT), files);
  const { companions, manifest: last } = await readCompanions(folder, files);
  const parts = partsOf(manifest).map((part) => ({ ...part, path: join(folder, part.name) }));
  const all = [...parts, ...companions, last];
  const began = machine.elapsed();
  const { have, findings } = await lookThere(order, manifest, last, system);
  const isDone = (file: LocalFile) =>
    !check && receipts.find(address, file) !== undefined && have.get(file.name) === file.size;
  const due = all.filter((file) => !isDone(file));
  const summary = {
    address,
    manifest,
    files: all.length,
    bytes: all.reduce((sum, { size }) => sum + size, 0),
  };
  if (dryRun) return { kind: "dry-run", ...summary, due, seconds: 0, proofs: {}, findings };

  const put = async (remote: Remote, file: LocalFile, attempt: Parameters<Remote["put"]>[1]) => {
    const proof = await remote.put(file, attempt);
    await receipts.record(address, file, proof, machine.now());
  };
  const options = { ...persistence, create: true, task: { id: "send", label: `send to ${address}` } };
  const host = { machine, signal, progress };
  const first = due.filter(({ name }) => name !== MANIFEST);
  await transferEach(first, destination, put, options, host);
  if (due.includes(last))
    await transferEach(
      [last],
      destination,
      put,
      { ...options, task: { id: "send/manifest", label: `send ${MANIFEST}, last` } },
      host,
    );
  const proofs: Partial<Record<Proof, number>> = {};
  for (const file of all) {
    const proof = receipts.find(address, file)?.proof;
    if (proof !== undefined) proofs[proof] = (proofs[proof] ?? 0) + 1;
  }
  const seconds = (machine.elapsed() - began) / 1000;
  return { kind: "sent", ...summary, due, seconds, proofs, findings: [...findings, ...unsaved(receipts)] };
}

/**
 * What is there already. A manifest that is not the one here is taken away first, so that old and new parts together never look like a
 * bundle.
 */
async function lookThere(
  { destination, dryRun }: SendOrder,
  manifest: Manifest,
  last: LocalFile,
  { signal }: Host,
): Promise<{ have: ReadonlyMap<string, number>; findings: Finding[] }> {
  const { address } = destination;
  let remote: Remote;
  try {
    remote = await destination.open(signal, { create: !dryRun });
  } catch (error) {
    // In a dry run a folder that is missing is no fault: it would be made.
    if (dryRun && error instanceof MigrationError && error.code === "file-missing")
      return { have: new Map(), findings: [] };
    throw error;
  }
  try {
    const have = await remote.have(signal);
    if (have.has(MANIFEST)) {
      const bytes = await remote.read(MANIFEST, MANIFEST_LIMIT, signal);
      const there = idIn(bytes, address);
      if (there !== undefined && there !== manifest.id)
        throw new MigrationError("bundle-mismatch", `${address} already has another bundle, ${there}`, {
          hint: "choose another folder there",
        });
      const tally = new Digester();
      tally.add(bytes ?? new Uint8Array());
      if (!dryRun && tally.result().sha256 !== last.sha256) await remote.remove(MANIFEST, signal);
    }
    return { have, findings: strayFiles(have, manifest, address) };
  } finally {
    await remote.close();
  }
}

/** The id of the bundle whose manifest that is; undefined when it is none. */
function idIn(bytes: Uint8Array | undefined, address: string): string | undefined {
  try {
    return parseManifest(new TextDecoder().decode(bytes), `${address}/${MANIFEST}`).id;
  } catch {
    return undefined;
  }
}

/** `cat NAME.part-*` would take these too. */
function strayFiles(have: ReadonlyMap<string, number>, manifest: Manifest, address: string): Finding[] {
  const known = new Set(partsOf(manifest).map(({ name }) => name));
  return [...have.keys()]
    .filter((name) => !known.has(name) && manifest.artifacts.some((one) => isFileOfArtifact(one.name, name)))
    .map((name) => ({
      id: "part-unexpected",
      level: "warning",
      sentence: `${address} has ${name}, which is named like a part of this bundle, but is not one`,
      hint: "remove it there before the parts are joined by hand",
    }));
}

const unsaved = ({ unsaved: error }: Receipts): Finding[] =>
  error === undefined
    ? []
    : [
        {
          id: "receipts-not-written",
          level: "note",
          sentence: `${error.message}: another run would compare every file there again`,
          hint: "run it as an account that may write into the bundle's folder",
        },
      ];

/** A bundle on a read-only disk can be sent too; then nothing prevents a second run, which does the same. */
async function lockIfWritable(folder: string, { files, machine }: Pick<System, "files" | "machine">) {
  try {
    return await acquireLock(join(folder, `${LOCK}.send`), files, machine);
  } catch (error) {
    if (error instanceof MigrationError && (error.code === "permission-denied" || error.code === "disk-full"))
      return undefined;
    throw error;
  }
}
