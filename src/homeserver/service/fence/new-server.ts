import { join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import { systemctl } from "../../../system/systemd/systemctl.ts";
import { type Fence, liftFence, setFence } from "../../config/fence.ts";

/**
 * The fence of the new server: the names of its configuration files; a drop-in for each unit, because a package that is
 * installed or upgraded in the meantime brings its own configuration and starts it; and a marker file that those drop-ins
 * and the start scripts require, and that does not exist yet.
 */
export interface NewFence {
  readonly fence: Fence;
  /** Drop-ins of systemd units, absolute; empty where systemd does not start the server. */
  readonly dropIns: readonly string[];
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** The marker file that exists once the server may start, where its account can see it. */
export const openedMarkerPath = (configFolder: string) => join(configFolder, ".opened-by-synlift");

/** Where a unit's drop-in goes; systemd.unit(5) also reads it for a unit that is installed later. */
export const dropInPath = (unit: string, folder = "/etc/systemd/system") =>
  join(folder, `${unit}.d`, "synlift-restore.conf");

/** Blocks the units before anything is restored: from now on they cannot start. May be repeated. */
export async function blockUnits(
  { dropIns, fence }: Pick<NewFence, "dropIns" | "fence">,
  { files, programs }: { files: Files; programs: Programs },
): Promise<void> {
  for (const path of dropIns) {
    await files.makeFolder(join(path, ".."), 0o755);
    await files.writeAtomically(path, condition(openedMarkerPath(fence.folder)), 0o644);
  }
  if (dropIns.length > 0) await reload(files, programs);
}

/** Lets the server start. May be called again after a stop. */
export async function liftNewFence(
  { fence, dropIns, owner }: NewFence,
  { files, programs }: { files: Files; programs: Programs },
): Promise<void> {
  await liftFence(fence, files);
  const mark = openedMarkerPath(fence.folder);
  await files.writeAtomically(mark, "");
  if (owner) await files.setOwner(mark, owner.uid, owner.gid);
  for (const path of dropIns) await files.remove(path);
  if (dropIns.length > 0) await reload(files, programs);
}

/** The undo of `liftNewFence`. May be called again. */
export async function setNewFence(
  { fence, dropIns }: NewFence,
  system: { files: Files; programs: Programs },
): Promise<void> {
  await system.files.remove(openedMarkerPath(fence.folder));
  await blockUnits({ fence, dropIns }, system);
  await setFence(fence, system.files);
}

/** A condition, not an assertion: apt restarts units during an upgrade, and must not fail. systemd.unit(5). */
const condition = (
  mark: string,
) => `# Made by synlift: this server is not verified yet. "synlift open" removes this file.
[Unit]
ConditionPathExists=${mark.replaceAll("%", "%%")}
`;

/** sd_booted(3): where systemd does not run, it reads its files when it does. */
async function reload(files: Files, programs: Programs): Promise<void> {
  if ((await programs.find("systemctl")) === undefined) return;
  try {
    await systemctl(["daemon-reload"], programs);
  } catch (error) {
    if (!(error instanceof MigrationError) || (await files.lstat("/run/systemd/system"))) throw error;
  }
}
