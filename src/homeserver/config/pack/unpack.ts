import { MigrationError } from "../../../errors.ts";
import type { Settings } from "../../homeserver.ts";
import { isMapping } from "../../settings.ts";
import { parseYaml, YamlSyntaxError } from "../yaml/yaml.ts";
import { type PackedPaths, parsePackedPaths, PATHS_NAME } from "./packed-file.ts";

/** An archive of a configuration, with names that are safe to use. */
export interface UnpackedConfig {
  readonly paths: PackedPaths;
  /** By name, each configuration file's text and top-level keys. */
  readonly texts: ReadonlyMap<string, string>;
  readonly keys: ReadonlyMap<string, readonly string[]>;
  /** What the configuration files mean together, by the rule of `readHomeserver`. */
  readonly settings: Settings;
}

/** Throws `bundle-damaged` for an archive that synlift did not make, or with names that point outside of its folder. */
export function parsePackedConfig(packed: ReadonlyMap<string, Uint8Array>): UnpackedConfig {
  const paths = parsePackedPaths(packed.get(PATHS_NAME));
  checkNames(packed, paths);
  return { paths, ...readConfig(packed, paths) };
}

/** The names are not trusted: anyone who has the key can make an archive. */
function checkNames(
  packed: ReadonlyMap<string, Uint8Array>,
  { files, order, configFiles }: PackedPaths,
): void {
  const folders = order.map((name) => name.replace(/\/$/, ""));
  for (const name of [...packed.keys(), ...files.map((record) => record.name), ...folders, ...configFiles]) {
    const safe = name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
    if (!safe || /[\\\0]/.test(name)) {
      throw damaged(`holds a name that points outside of its folder: ${JSON.stringify(name)}`);
    }
  }
  for (const { name } of files) if (!packed.has(name)) throw damaged(`lacks ${name}`);
  const known = new Set([PATHS_NAME, ...files.map(({ name }) => name)]);
  for (const name of packed.keys())
    if (!known.has(name)) throw damaged(`holds ${name}, which is not in its index`);
  const roles = new Map(files.map(({ name, role }) => [name, role]));
  for (const name of configFiles)
    if (roles.get(name) !== "config") throw damaged(`lacks the configuration ${name}`);
}

const damaged = (what: string) =>
  new MigrationError("bundle-damaged", `the configuration in the bundle ${what}`);

function readConfig(
  packed: ReadonlyMap<string, Uint8Array>,
  { configFiles }: PackedPaths,
): Omit<UnpackedConfig, "paths"> {
  const texts = new Map<string, string>();
  const keys = new Map<string, readonly string[]>();
  const settings: Settings = {};
  for (const name of configFiles) {
    const text = new TextDecoder().decode(packed.get(name));
    texts.set(name, text);
    try {
      const value = parseYaml(text);
      keys.set(name, isMapping(value) ? Object.keys(value) : []);
      Object.assign(settings, value);
    } catch (error) {
      if (!(error instanceof YamlSyntaxError)) throw error;
      throw damaged(`has a file that cannot be read: ${name}, ${error.message}`);
    }
  }
  return { texts, keys, settings };
}
