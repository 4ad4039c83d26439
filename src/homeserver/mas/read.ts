import { dirname, resolve } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import { parseYaml, YamlSyntaxError } from "../config/yaml/yaml.ts";
import type { ConfigFile, Mas, Referenced, Secret, Settings, ToHostPath } from "../homeserver.ts";
import { findSettings, isMapping, settingAt } from "../settings.ts";
import { masAddress } from "./address.ts";

export interface MasSource {
  /** What the service is given with `--config`, in order. */
  readonly configPaths: readonly string[];
  readonly placeOf: ToHostPath;
  /** The homeserver's. */
  readonly serverName: string;
  /** See `Homeserver`. */
  readonly databaseCommand?: readonly string[] | undefined;
}

/**
 * Reads the service's configuration (its documentation, reference/configuration.md). Relative paths start at the folder
 * of the first file. Changes nothing. Throws `config-unreadable`, above all without the key that encrypts its database:
 * the rest is useless without it.
 */
export async function readMas(source: MasSource, files: Files): Promise<Mas> {
  const configPaths = source.configPaths.map(source.placeOf);
  const configFiles: ConfigFile[] = [];
  let settings: Settings = {};
  for (const path of configPaths) {
    const { text, value } = await readFile(path, files);
    configFiles.push({ path, text, keys: Object.keys(value) });
    settings = mergedSettings(settings, value);
  }
  const folder = dirname(configPaths[0]!);
  const placeOf: ToHostPath = (path) => source.placeOf(resolve(folder, path));
  const secrets = await secretsOf(settings, placeOf, files);
  const faults = faultsOf(settings, secrets, source.serverName);
  if (faults.length > 0) throw unusable(faults, configPaths);
  const address = masAddress(settings, placeOf, source.databaseCommand);
  const referenced = referencedBy(settings, placeOf);
  return {
    serverName: source.serverName,
    configPaths,
    configFiles,
    settings,
    secrets,
    address,
    referenced,
  };
}

/** Secrets of the service that must be the same on the new host. Each may be in a file. */
const SECRETS = ["secrets.encryption", "matrix.secret", "passwords.schemes[*].secret"] as const;
const ENCRYPTION = SECRETS[0];

async function secretsOf(settings: Settings, placeOf: ToHostPath, files: Files): Promise<Secret[]> {
  const found: Secret[] = [];
  for (const pattern of SECRETS) {
    for (const { setting, value } of findSettings(settings, pattern))
      if (typeof value === "string" && value !== "") found.push({ setting, value });
    for (const { setting, value } of findSettings(settings, `${pattern}_file`)) {
      const path = placeOf(String(value));
      if ((await files.stat(path))?.kind !== "file") continue;
      const text = (await files.readText(path)).trim();
      if (text !== "") found.push({ setting: setting.replace(/_file$/, ""), value: text });
    }
  }
  return found;
}

function faultsOf(settings: Settings, secrets: readonly Secret[], serverName: string): string[] {
  const faults: string[] = [];
  const key = secrets.find(({ setting }) => setting === ENCRYPTION)?.value;
  if (key === undefined)
    faults.push(
      "there is no secrets.encryption, and no secrets.encryption_file that can be read: the service's database could never be decrypted",
    );
  else if (!/^[0-9a-f]{64}$/i.test(key)) faults.push("secrets.encryption is not 32 bytes in hexadecimal");
  const name = settingAt(settings, "matrix.homeserver");
  if (name !== serverName) faults.push(`matrix.homeserver is not ${serverName}`);
  return faults;
}

/** The files that the settings name. The service cannot keep its identity without its keys; templates are optional. */
function referencedBy(settings: Settings, placeOf: ToHostPath): Referenced[] {
  return NAMED.flatMap(([role, pattern]) =>
    findSettings(settings, pattern).flatMap(({ setting, value }) =>
      typeof value === "string"
        ? [{ setting, role, path: placeOf(value), required: role === "secret" || setting === KEYS }]
        : [],
    ),
  );
}

const KEYS = "secrets.keys_dir";

const NAMED: readonly (readonly [Referenced["role"], string])[] = [
  ["secret", "secrets.encryption_file"],
  ["secret", "secrets.keys[*].key_file"],
  ["secret", "secrets.keys[*].password_file"],
  ["templates", KEYS],
  ["secret", "matrix.secret_file"],
  ["secret", "passwords.schemes[*].secret_file"],
  ["secret", "clients[*].client_secret_file"],
  ["secret", "upstream_oauth2.providers[*].client_secret_file"],
  ["secret", "upstream_oauth2.providers[*].sign_in_with_apple.private_key_file"],
  ["tls", "http.listeners[*].tls.certificate_file"],
  ["tls", "http.listeners[*].tls.key_file"],
  ["tls", "http.listeners[*].tls.password_file"],
];

/** Bytes. No configuration is nearly as long. */
const LARGEST = 2 * 1024 * 1024;

async function readFile(path: string, files: Files): Promise<{ text: string; value: Settings }> {
  if ((await files.stat(path))?.kind !== "file") throw unusable(["there is no such file"], [path]);
  const text = new TextDecoder().decode(await files.readWhole(path, LARGEST));
  const value = mappingIn(text, path);
  return { text, value };
}

function mappingIn(text: string, path: string): Settings {
  try {
    const value = parseYaml(text) ?? {};
    if (isMapping(value)) return value;
  } catch (error) {
    if (!(error instanceof YamlSyntaxError)) throw error;
    throw unusable([error.message], [path]);
  }
  throw unusable(["it is not a mapping of settings"], [path]);
}

function unusable(faults: readonly string[], paths: readonly string[]): MigrationError {
  return new MigrationError(
    "config-unreadable",
    `cannot use the authentication service's configuration in ${paths.join(", ")}: ${faults.join("; ")}`,
    { hint: "give --mas-config FILE for each --config that mas-cli is started with, in the same order" },
  );
}

/** As the service merges its files: mappings key by key, anything else by the later one. */
export function mergedSettings(one: Settings, other: unknown): Settings {
  const both: Record<string, unknown> = { ...one };
  if (!isMapping(other)) return both;
  for (const [key, value] of Object.entries(other)) {
    const before = both[key];
    both[key] = isMapping(before) && isMapping(value) ? mergedSettings(before, value) : value;
  }
  return both;
}
