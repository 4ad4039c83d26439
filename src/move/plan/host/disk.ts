import { basename, dirname, join } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";

export interface DiskNeeds {
  /** Where the bundle is to go; absolute. */
  readonly out: string;
  /** Bytes that the bundle will take, about. */
  readonly bundleBytes: number;
  /** Bytes that the new host needs for database and media. */
  readonly restoredBytes: number;
  readonly mediaStore: string | undefined;
}

/** Room for the bundle, kind of disk, memory. Only looks. */
export async function diskFindings(
  needs: DiskNeeds,
  { files, machine }: { files: Files; machine: Machine },
): Promise<Finding[]> {
  const { out, bundleBytes, restoredBytes } = needs;
  const there = await nearest(out, files);
  if (there === undefined) {
    return [
      {
        id: "disk-room",
        level: "blocker",
        sentence: `${out} cannot be looked at`,
        hint: "choose another folder: --out",
      },
    ];
  }
  const { free, kind } = await files.space(there);
  // A bundle is an estimate: a tenth more is asked for.
  const wanted = Math.ceil(bundleBytes * 1.1) + 64 * 1024 * 1024;
  const findings: Finding[] = [
    free >= wanted
      ? {
          id: "disk-room",
          level: "ok",
          sentence: `${out} has room: ${formatBytes(free)} free for a bundle of about ${formatBytes(bundleBytes)}`,
        }
      : {
          id: "disk-room",
          level: "blocker",
          sentence: `${out} has only ${formatBytes(free)} free, and the bundle takes about ${formatBytes(bundleBytes)}`,
          hint: "choose a folder on a larger disk: --out",
        },
    {
      id: "disk-target",
      level: "note",
      sentence: `the new host needs about ${formatBytes(restoredBytes)} for database and media, and ${formatBytes(bundleBytes)} for the bundle`,
    },
  ];
  if (kind === "memory") {
    findings.push({
      id: "disk-memory",
      level: "warning",
      sentence: `${out} lies in memory: a reboot takes the bundle away, and it takes memory from the server that still runs`,
      hint: "choose a folder on a disk: --out",
    });
  }
  if (kind === "network")
    findings.push({
      id: "disk-network",
      level: "note",
      sentence: `${out} lies on another host's disk: its speed is not in the estimate`,
    });
  findings.push(...(await caseFindings(needs, there, files)), ...memoryFindings(machine));
  return findings;
}

async function nearest(folder: string, files: Files): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      if ((await files.follow(at))?.kind === "folder") return at;
    } catch {
      // What may not be looked at is looked for one above.
    }
    if (at === dirname(at)) return undefined;
  }
}

/** Media ids that differ only in case are different files to Synapse. */
async function caseFindings({ mediaStore, out }: DiskNeeds, there: string, files: Files): Promise<Finding[]> {
  const places = [...new Set([there, ...(mediaStore === undefined ? [] : [mediaStore])])];
  const ignoring: string[] = [];
  for (const place of places) if (await ignoresCase(place, files)) ignoring.push(place);
  if (ignoring.length === 0) return [];
  return [
    {
      id: "disk-case",
      level: "warning",
      sentence: `the file system ignores the case of names: media whose ids differ only in case overwrite each other there`,
      evidence: ignoring,
      hint: ignoring.includes(mediaStore ?? "")
        ? "some media may be lost already; move the store to a file system that does not"
        : `nothing of the bundle suffers in ${out}, but do not unpack it on such a file system`,
    },
  ];
}

/** Asks by another name for something that is there: nothing has to be written for that. */
async function ignoresCase(folder: string, files: Files): Promise<boolean> {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const name = basename(at);
    const other = name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
    if (other === name) continue;
    try {
      if (!(await files.look(join(dirname(at), other)))) return false;
      return !(await files.list(dirname(at))).includes(other);
    } catch {
      return false;
    }
  }
  return false;
}

/** Bytes that a run needs at its peak, with gpg and pg_dump beside it. */
const MEMORY = 512 * 1024 * 1024;

function memoryFindings(machine: Machine): Finding[] {
  const { total, available } = machine.memory();
  if (available >= MEMORY)
    return [
      {
        id: "memory",
        level: "ok",
        sentence: `${formatBytes(available)} of ${formatBytes(total)} memory are free`,
      },
    ];
  return [
    {
      id: "memory",
      level: "warning",
      sentence: `only ${formatBytes(available)} of ${formatBytes(total)} memory are free; a run needs up to ${formatBytes(MEMORY)}`,
      hint: "add swap, or stop what is not needed before the export",
    },
  ];
}
