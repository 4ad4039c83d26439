import { basename } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { type FileRecord, type PackedPaths, parsePackedPaths, PATHS_NAME } from "./packed-file.ts";
import { parsePackedConfig } from "./unpack.ts";

/** The paths that Debian's unit passes to Synapse: one file, then a folder (debian/matrix-synapse-py3.matrix-synapse.service in Synapse). */
const FILE = "homeserver.yaml";
const FOLDER = "conf.d/";

/**
 * Debian's own unit has `ConditionPathExists=` for this file, which the package writes on installation (debian/postinst
 * of Debian's matrix-synapse): without it systemd starts nothing, and `systemctl start` exits with 0.
 */
const NAME_FILE = `${FOLDER}server_name.yaml`;

/**
 * Renames the packed configuration files to the names that Debian's unit reads, and adds the file with the server name
 * that it requires. The order in which Synapse merges the files stays. Throws `bundle-damaged` for an archive that synlift did not make.
 */
export function arrangeForDebian(packed: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  const paths = parsePackedPaths(packed.get(PATHS_NAME));
  const names = newNames(paths);
  const renamed = (name: string) => names.get(name) ?? name;
  const configFiles = paths.configFiles.map(renamed);
  const files = paths.files.map((file) => ({ ...file, name: renamed(file.name) }));
  const arranged: PackedPaths = { ...paths, order: [FILE, FOLDER], configFiles, files };
  const entries = [...packed].map(([name, content]) => [renamed(name), content] as const);
  const result = new Map(entries).set(PATHS_NAME, new TextEncoder().encode(JSON.stringify(arranged)));
  if (result.size === packed.size) return withNameFile(result);
  throw new MigrationError("restore-failed", `two files of the configuration would both become ${FILE}`, {
    hint: "restore without --layout, and name the folder with --config-dir",
  });
}

function newNames({ configFiles, order }: PackedPaths): Map<string, string> {
  const [first, ...others] = configFiles;
  if (order[0] === FILE && others.every((name) => name.startsWith(FOLDER))) return new Map();
  // A folder's files are read by name: numbers keep the order that they had.
  const numbered = others.map(
    (name, index) => [name, `${FOLDER}${String(index + 1).padStart(3, "0")}-${basename(name)}`] as const,
  );
  return new Map([[first!, FILE], ...numbered]);
}

/** The same with `NAME_FILE`, which repeats the server name that the other files set. */
function withNameFile(packed: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  if (packed.has(NAME_FILE)) return packed;
  const { paths, settings } = parsePackedConfig(packed);
  const name = settings["server_name"];
  if (typeof name !== "string") return packed;
  const [first, ...others] = paths.configFiles;
  const added: FileRecord = {
    name: NAME_FILE,
    path: `/etc/matrix-synapse/${NAME_FILE}`,
    setting: "-c",
    role: "config",
    mode: 0o644,
  };
  const arranged: PackedPaths = {
    ...paths,
    configFiles: [first!, ...[...others, NAME_FILE].sort()],
    files: [...paths.files, added],
  };
  // As the package writes it; an IPv6 address would be a list without quotes.
  const content = `server_name: ${name.startsWith("[") ? JSON.stringify(name) : name}\n`;
  const encoder = new TextEncoder();
  return new Map(packed)
    .set(NAME_FILE, encoder.encode(content))
    .set(PATHS_NAME, encoder.encode(JSON.stringify(arranged)));
}
