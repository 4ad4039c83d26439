import { createHmac } from "node:crypto";
import { dirname, join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Entry, Files } from "../../system/files/files.ts";
import type { Homeserver, Referenced } from "../homeserver.ts";
import { hasTls, isIdle } from "./checks/referenced-files.ts";
import { EntryNames, safeName } from "./pack/entry-names.ts";
import {
  type ConfigSection,
  type FileRecord,
  type PackedFile,
  type PackedPaths,
  PATHS_NAME,
} from "./pack/packed-file.ts";

export interface PackedConfig {
  readonly entries: readonly PackedFile[];
  readonly section: ConfigSection;
  /** A warning for each missing file that a setting names and that the new server does not need to start. */
  readonly findings: readonly Finding[];
}

const FOLDER_OF = {
  "signing-key": "",
  appservice: "appservices",
  secret: "secrets",
  tls: "tls",
  "log-config": "files",
  other: "files",
  templates: "templates",
} as const satisfies Record<Referenced["role"], string>;

/** The parts of a homeserver, or of a service beside it, that are packed here. */
export type PackableConfig = Pick<
  Homeserver,
  "serverName" | "configPaths" | "configFiles" | "referenced" | "secrets"
> &
  Partial<Pick<Homeserver, "listeners">>;

/**
 * Packs the configuration, the signing key and all that the settings name, under the files' own names. Only reads.
 *
 * Throws `signing-key-missing` or `file-missing`, listing every missing file that the new server needs.
 */
export async function packConfig(
  homeserver: PackableConfig,
  files: Files,
  salt: Uint8Array,
): Promise<PackedConfig> {
  const packing = new ConfigPacker(files);
  const order = await packing.configFiles(homeserver);
  for (const referenced of homeserver.referenced) await packing.referenced(referenced);
  assertNoneMissing(packing.missing, homeserver);

  const { records, missing } = packing;
  const plainly = missing.map(({ setting, path }) => ({ setting, path }));
  const configFiles = records.filter(({ role }) => role === "config").map(({ name }) => name);
  const paths: PackedPaths = { format: 1, order, configFiles, files: records, missing: plainly };
  const content = new TextEncoder().encode(`${JSON.stringify(paths, undefined, 2)}\n`);
  // The same configuration gives the same archive: no clock here.
  const mtimeMs = Math.max(...packing.entries.map((entry) => entry.mtimeMs));
  return {
    entries: [...packing.entries, { name: PATHS_NAME, mode: 0o600, mtimeMs, content }],
    section: {
      serverName: homeserver.serverName,
      files: records,
      order,
      secrets: homeserver.secrets.map(({ setting, value }) => ({
        setting,
        fingerprint: fingerprint(salt, value),
      })),
      missing: plainly,
    },
    findings: missing.filter((one) => !isIdle(one, hasTls(homeserver))).map(missingFileWarning),
  };
}

/** An HMAC-SHA256 by which two hosts can compare a secret without revealing it. */
export function fingerprint(salt: Uint8Array, value: string): string {
  return createHmac("sha256", salt).update(value, "utf8").digest("hex");
}

/** A digest of the packed configuration, for the journal. Keyed with the salt, as much of it is secret. */
export function configInputs(
  entries: readonly PackedFile[],
  salt: Uint8Array,
): Record<string, string | number> {
  const all = createHmac("sha256", salt);
  for (const { name, mode, content } of entries) {
    // Lengths first, so that two different configurations cannot give the same bytes.
    all.update(`${name.length} ${mode} ${content.length}\n`).update(name).update(content);
  }
  return { config: all.digest("hex") };
}

class ConfigPacker {
  readonly entries: PackedFile[] = [];
  readonly records: FileRecord[] = [];
  readonly missing: Referenced[] = [];
  readonly #files: Files;
  readonly #names = new EntryNames();
  /** The name given to each path: a file that two settings name is packed once. */
  readonly #packed = new Map<string, string>();

  constructor(files: Files) {
    this.#files = files;
  }

  /** Returns the values of `-c`, in order, by their names inside the archive. */
  async configFiles({ configPaths, configFiles }: PackableConfig): Promise<string[]> {
    const order: string[] = [];
    for (const path of configPaths) {
      const inside = configFiles.filter((file) => dirname(file.path) === path);
      const isFolder = (await this.#files.stat(path))?.kind === "folder";
      // Files without settings are not packed, and neither is a folder that holds only such files.
      if (isFolder ? inside.length === 0 : !configFiles.some((file) => file.path === path)) continue;
      const name = this.#names.take("", path);
      order.push(isFolder ? `${name}/` : name);
      for (const file of isFolder ? inside : configFiles.filter((one) => one.path === path)) {
        const own = isFolder ? this.#names.take(name, file.path) : name;
        await this.#add(own, file.path, "-c", "config");
      }
    }
    return order;
  }

  async referenced(referenced: Referenced): Promise<void> {
    const { role, setting, path } = referenced;
    const found = await this.#files.stat(path);
    if (found?.kind !== (role === "templates" ? "folder" : "file")) {
      this.missing.push(referenced);
      return;
    }
    const name = this.#packed.get(path) ?? this.#names.take(FOLDER_OF[role], path);
    this.#packed.set(path, name);
    if (role === "templates") await this.#folder(name, path, setting);
    else await this.#add(name, path, setting, role, found);
  }

  /** Regular files only: a symbolic link in a template folder may point anywhere. */
  async #folder(name: string, path: string, setting: string): Promise<void> {
    for (const entry of await this.#files.list(path)) {
      const found = await this.#files.lstat(join(path, entry));
      const inside = `${name}/${safeName(entry)}`;
      if (found?.kind === "folder") await this.#folder(inside, join(path, entry), setting);
      if (found?.kind === "file") await this.#add(inside, join(path, entry), setting, "templates", found);
    }
  }

  async #add(
    name: string,
    path: string,
    setting: string,
    role: FileRecord["role"],
    seen?: Entry,
  ): Promise<void> {
    const found = seen ?? (await this.#files.stat(path));
    const mode = found?.mode ?? 0o600;
    if (!this.entries.some((entry) => entry.name === name)) {
      const content = await this.#files.readWhole(path);
      this.entries.push({ name, mode, mtimeMs: found?.mtimeMs ?? 0, content });
    }
    this.records.push({ name, path, setting, role, mode });
  }
}

function assertNoneMissing(missing: readonly Referenced[], { configPaths }: PackableConfig): void {
  const needed = missing.filter(({ required }) => required);
  if (needed.length === 0) return;
  const isKey = needed.some(({ role }) => role === "signing-key");
  const list = needed.map(({ setting, path, role }) =>
    role === "signing-key" ? `no signing key at ${path}` : `no file at ${path} (${setting})`,
  );
  const where = configPaths.join(", ");
  throw new MigrationError(isKey ? "signing-key-missing" : "file-missing", list.join("; "), {
    hint: isKey
      ? `check signing_key_path in ${where}, and the working directory of Synapse: without the file Synapse silently generates a new key, and other servers no longer accept its signatures`
      : `check these settings in ${where}, and the working directory of Synapse`,
  });
}

const missingFileWarning = ({ setting, path }: Referenced): Finding => ({
  id: `file-missing:${setting}`,
  level: "warning",
  sentence: `${setting} names ${path}, which does not exist and is not in the bundle`,
  hint: "create the file and export again, or remove the setting",
});
