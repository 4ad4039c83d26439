import { basename, dirname, join } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import { formatBytes } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";

export interface DiskNeeds {
  /** Folder of the bundle; absolute. */
  readonly out: string;
  /** Approximate bytes of the bundle. */
  readonly bundleBytes: number;
  /** Bytes that the new host needs for database and media. */
  readonly restoredBytes: number;
  readonly mediaStore: string | undefined;
  /** Bytes of a running server's SQLite database, which a rehearsal copies; otherwise 0. */
  readonly privateCopyBytes: number;
}

/** Disk space for the bundle, kind of disk, memory. Changes nothing. */
export async function diskFindings(
  needs: DiskNeeds,
  { files, machine }: { files: Files; machine: Machine },
): Promise<Finding[]> {
  const { out, bundleBytes, restoredBytes } = needs;
  const there = await nearest(out, files);
  if (there === undefined) {
    return [
      {
        id: "disk-space",
        level: "blocker",
        sentence: `${out} cannot be inspected`,
        hint: "choose another folder: --out",
      },
    ];
  }
  const { free, kind } = await files.diskSpace(there);
  // The size is an estimate: require a tenth more.
  const wanted = Math.ceil(bundleBytes * 1.1) + 64 * 1024 * 1024;
  const findings: Finding[] = [
    free >= wanted
      ? {
          id: "disk-space",
          level: "ok",
          sentence: `${out} has enough disk space: ${formatBytes(free)} free for a bundle of about ${formatBytes(bundleBytes)}`,
        }
      : {
          id: "disk-space",
          level: "blocker",
          sentence: `${out} has only ${formatBytes(free)} free, and the bundle takes about ${formatBytes(bundleBytes)}`,
          hint: "choose a folder on a larger disk: --out",
        },
    {
      id: "target-disk-space",
      level: "note",
      sentence: `the new host needs about ${formatBytes(restoredBytes)} for database and media, and ${formatBytes(bundleBytes)} for the bundle`,
    },
  ];
  if (needs.privateCopyBytes > 0) findings.push(privateCopyFinding(needs, free));
  if (kind === "memory") {
    findings.push({
      id: "disk-memory",
      level: "warning",
      sentence: `${out} is on a memory file system: a reboot deletes the bundle, and it uses memory that the running server needs`,
      hint: "choose a folder on a disk: --out",
    });
  }
  if (kind === "network")
    findings.push({
      id: "disk-network",
      level: "note",
      sentence: `${out} is on a network file system: its speed is not part of the estimate`,
    });
  findings.push(...(await caseFindings(needs, there, files)), ...memoryFindings(machine));
  return findings;
}

function privateCopyFinding({ out, privateCopyBytes }: DiskNeeds, free: number): Finding {
  const sentence = `a rehearsal on the running server first makes a copy of the database beside --out, not encrypted, for this account only: ${formatBytes(privateCopyBytes)}, removed in the same run`;
  if (free >= privateCopyBytes) return { id: "rehearsal-disk-space", level: "note", sentence };
  return {
    id: "rehearsal-disk-space",
    level: "warning",
    sentence: `${sentence}; ${out} has only ${formatBytes(free)} free`,
    hint: "rehearse into a folder on a larger disk; a real export stops the server and needs no copy",
  };
}

async function nearest(folder: string, files: Files): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      if ((await files.stat(at))?.kind === "folder") return at;
    } catch {
      // If it cannot be inspected, try its parent.
    }
    if (at === dirname(at)) return undefined;
  }
}

/** Media ids that differ only in case are different files to Synapse. */
async function caseFindings({ mediaStore, out }: DiskNeeds, there: string, files: Files): Promise<Finding[]> {
  const places = [...new Set([there, ...(mediaStore === undefined ? [] : [mediaStore])])];
  const ignoring: string[] = [];
  for (const place of places) if (await isCaseInsensitive(place, files)) ignoring.push(place);
  if (ignoring.length === 0) return [];
  return [
    {
      id: "disk-case",
      level: "warning",
      sentence: `the file system ignores the case of names: media whose ids differ only in case overwrite each other there`,
      evidence: ignoring,
      hint: ignoring.includes(mediaStore ?? "")
        ? "some media may already be lost; move the store to a case-sensitive file system"
        : `the bundle itself is safe in ${out}, but do not unpack it on such a file system`,
    },
  ];
}

/** Looks up an existing entry by a name in the other case, so that nothing has to be written. */
async function isCaseInsensitive(folder: string, files: Files): Promise<boolean> {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const name = basename(at);
    const other = name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
    if (other === name) continue;
    try {
      if (!(await files.lstat(join(dirname(at), other)))) return false;
      return !(await files.list(dirname(at))).includes(other);
    } catch {
      return false;
    }
  }
  return false;
}

/** Bytes that a run needs at its peak, including gpg and pg_dump. */
const MEMORY = 512 * 1024 * 1024;

function memoryFindings(machine: Machine): Finding[] {
  const { total, available } = machine.memory();
  if (available >= MEMORY)
    return [
      {
        id: "memory",
        level: "ok",
        sentence: `${formatBytes(available)} of ${formatBytes(total)} of memory is available`,
      },
    ];
  return [
    {
      id: "memory",
      level: "warning",
      sentence: `only ${formatBytes(available)} of ${formatBytes(total)} of memory is available; a run needs up to ${formatBytes(MEMORY)}`,
      hint: "add swap, or stop programs that are not needed before the export",
    },
  ];
}
