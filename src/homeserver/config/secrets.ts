import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import type { Homeserver, Secret, Settings, ToHostPath } from "../homeserver.ts";
import { findSettings } from "../settings.ts";

/** A setting with a secret, and the setting that names a file with it instead. Synapse rejects a configuration with both. */
interface SecretSetting {
  readonly inline: string;
  readonly file?: string;
}

/**
 * The secrets that must be the same on both hosts. The passwords of the database and of Redis are not among them: they are specific
 * to the host. Sources: `read_config` in synapse/config/key.py, auth.py, registration.py, workers.py, voip.py, mas.py,
 * experimental.py, oidc.py, jwt.py, emailconfig.py, captcha.py.
 */
const SECRET_SETTINGS: readonly SecretSetting[] = [
  { inline: "macaroon_secret_key", file: "macaroon_secret_key_path" },
  { inline: "password_config.pepper" },
  { inline: "form_secret", file: "form_secret_path" },
  { inline: "registration_shared_secret", file: "registration_shared_secret_path" },
  { inline: "worker_replication_secret", file: "worker_replication_secret_path" },
  { inline: "turn_shared_secret", file: "turn_shared_secret_path" },
  { inline: "turn_password" },
  { inline: "matrix_authentication_service.secret", file: "matrix_authentication_service.secret_path" },
  {
    inline: "experimental_features.msc3861.client_secret",
    file: "experimental_features.msc3861.client_secret_path",
  },
  {
    inline: "experimental_features.msc3861.admin_token",
    file: "experimental_features.msc3861.admin_token_path",
  },
  { inline: "oidc_providers[*].client_secret", file: "oidc_providers[*].client_secret_path" },
  {
    inline: "oidc_providers[*].client_secret_jwt_key.key",
    file: "oidc_providers[*].client_secret_jwt_key.key_file",
  },
  { inline: "oidc_config.client_secret", file: "oidc_config.client_secret_path" },
  { inline: "oidc_config.client_secret_jwt_key.key", file: "oidc_config.client_secret_jwt_key.key_file" },
  { inline: "jwt_config.secret" },
  { inline: "email.smtp_pass" },
  { inline: "recaptcha_private_key", file: "recaptcha_private_key_path" },
  { inline: "recaptcha_public_key", file: "recaptcha_public_key_path" },
];

/** The settings that name a file with a secret in it. */
export const SECRET_FILE_SETTINGS: readonly string[] = SECRET_SETTINGS.flatMap(({ file }) => file ?? []);

/** Synapse makes this file itself when it is missing (synapse/config/registration.py). */
export const GENERATED_BY_SYNAPSE = "registration_shared_secret_path";

/**
 * The secrets and their values, under the name of the inline setting wherever they are set. A missing file gives
 * no secret: packing and inspecting report it. Errors are added to `faults`.
 */
export async function readSecrets(
  settings: Settings,
  placeOf: ToHostPath,
  files: Files,
  faults: string[],
): Promise<Secret[]> {
  const secrets = new Map<string, string>();
  for (const { inline } of SECRET_SETTINGS) {
    for (const { setting, value } of findSettings(settings, inline)) {
      // A number is not a string to Synapse either, but it is the same number on both hosts.
      if (typeof value !== "string" && typeof value !== "number") faults.push(`${setting} is not a string`);
      else if (value !== "") secrets.set(setting, String(value));
    }
  }
  for (const { setting, value } of SECRET_FILE_SETTINGS.flatMap((pattern) =>
    findSettings(settings, pattern),
  )) {
    if (typeof value !== "string" || value === "") continue;
    const name = setting.replace(/_(?:path|file)$/, "");
    if (secrets.has(name)) faults.push(`${name} and ${setting} are both set, Synapse takes only one`);
    const content = await contentOf(placeOf(value), files);
    if (content !== undefined && content !== "") secrets.set(name, content);
  }
  return [...secrets].map(([setting, value]) => ({ setting, value }));
}

/** Without white space around it, as Synapse strips it. */
async function contentOf(path: string, files: Files): Promise<string | undefined> {
  try {
    return (await files.readText(path)).trim();
  } catch (error) {
    if (error instanceof MigrationError && error.code === "file-missing") return undefined;
    throw error;
  }
}

/** Names of settings whose value may be a secret, also of those that are specific to a host, such as a database's password. */
const SECRET_NAME = /pass|secret|token|pepper|key$/i;

/** Whether a setting of this name may have a secret as its value. */
export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/** Every value that must not be shown where a program's own messages are: the secrets, and what is named like one. */
export function valuesToHide({ settings, secrets }: Pick<Homeserver, "settings" | "secrets">): string[] {
  const values = new Set(secrets.map(({ value }) => value));
  const collect = (value: unknown, name: string): void => {
    if (typeof value === "string" && isSecretName(name)) values.add(value);
    else if (typeof value === "object" && value !== null)
      for (const [key, one] of Object.entries(value)) collect(one, Array.isArray(value) ? name : key);
  };
  collect(settings, "");
  // The longest first, because a shorter one may be a part of it.
  return [...values].filter((value) => value !== "").sort((a, b) => b.length - a.length);
}
