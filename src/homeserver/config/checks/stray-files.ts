import { join } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";

/** The paths from which Synapse reads its settings: those of `-c`, and the restored files under their current names. */
export interface ConfigLocations {
  readonly configPaths: readonly string[];
  readonly fencedPaths: readonly string[];
  readonly fence: { readonly folder: string; readonly names: readonly string[] };
}

/**
 * Files that Synapse would read and that are not part of the restored configuration. It reads every *.yaml of a folder
 * (synapse/config/_base.py, `find_config_files`), and a later file replaces whole settings of an earlier one.
 */
export async function findStrayFiles(
  { configPaths, fencedPaths, fence }: ConfigLocations,
  files: Files,
): Promise<string[]> {
  const known = new Set([...fencedPaths, ...fence.names.map((name) => join(fence.folder, name))]);
  const stray: string[] = [];
  for (const path of configPaths.map((one) => one.replace(/\/$/, ""))) {
    if ((await files.stat(path))?.kind !== "folder") continue;
    const found = (await files.list(path))
      .filter((name) => name.endsWith(".yaml"))
      .map((name) => join(path, name));
    stray.push(...found.filter((one) => !known.has(one)));
  }
  return stray;
}

/** The gate: Synapse reads the restored configuration and no other files. */
export async function verifyNoStray(from: ConfigLocations, files: Files): Promise<Finding> {
  const stray = await findStrayFiles(from, files);
  if (stray.length === 0)
    return {
      id: "config-files",
      level: "ok",
      sentence: "Synapse will read the restored configuration and no other files",
    };
  return {
    id: "config-files",
    level: "blocker",
    sentence: "Synapse would read files that are not part of the restored configuration",
    evidence: stray,
    hint: "remove these files: they can replace settings that were checked",
  };
}
