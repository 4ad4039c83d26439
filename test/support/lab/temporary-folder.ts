import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Account } from "./server-process.ts";

/** Unix sockets live in these folders, and the path of one may have 107 bytes at most. */
const LONGEST_BASE = 60;

const made = new Set<string>();

/** A folder of its own that goes away with this process; `owner` is whom it belongs to, `within` where it is made. */
export function temporaryFolder(name: string, owner?: Account, within = tmpdir()): string {
  if (made.size === 0) process.on("exit", removeAll);
  const base = within.length > LONGEST_BASE ? "/tmp" : within;
  const folder = mkdtempSync(join(base, `synlift-${name}-`));
  made.add(folder);
  // mkdtemp gives 0700: another account must be able to walk through a folder of ours.
  if (owner) chownSync(folder, owner.uid, owner.gid);
  else chmodSync(folder, 0o755);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  made.delete(folder);
}

function removeAll(): void {
  for (const folder of made) removeFolder(folder);
}
