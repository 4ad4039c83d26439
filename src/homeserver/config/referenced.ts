import { join } from "node:path";
import type { Homeserver, Referenced, Settings, ToHostPath } from "../homeserver.ts";
import { findSettings } from "../settings.ts";
import { GENERATED_BY_SYNAPSE, SECRET_FILE_SETTINGS } from "./secrets.ts";

type Role = Referenced["role"];

/**
 * The settings that name files or folders which are packed with the configuration. Media folders are not among them (they
 * are packed as media), nor sockets and pid files (they are specific to the host).
 */
const FILE_SETTINGS: readonly (readonly [role: Role, pattern: string, required?: "required"])[] = [
  ["appservice", "app_service_config_files[*]", "required"],
  ["secret", "key_server_signing_keys_path"],
  ["log-config", "log_config"],
  ["log-config", "worker_log_config"],
  ["tls", "tls_certificate_path"],
  ["tls", "tls_private_key_path"],
  ["tls", "federation_custom_ca_list[*]"],
  ["templates", "templates.custom_template_directory"],
  ["templates", "email.template_dir"],
  ["templates", "sso.template_dir"],
  ["templates", "account_validity.template_dir"],
  ["templates", "user_consent.template_dir"],
  ["other", "saml2_config.config_path"],
  ["tls", "saml2_config.sp_config.key_file"],
  ["tls", "saml2_config.sp_config.cert_file"],
  ["tls", "saml2_config.sp_config.encryption_keypairs[*].key_file"],
  ["tls", "saml2_config.sp_config.encryption_keypairs[*].cert_file"],
  ["other", "saml2_config.sp_config.metadata.local[*]"],
  ["other", "oembed.additional_providers[*]"],
  ["tls", "redis.certificate_file"],
  ["tls", "redis.private_key_file"],
  ["tls", "redis.ca_file"],
  ["other", "manhole_settings.ssh_priv_key_path"],
  ["other", "manhole_settings.ssh_pub_key_path"],
  ["tls", "database.args.sslcert"],
  ["tls", "database.args.sslkey"],
  ["tls", "database.args.sslrootcert"],
  ["other", "database.args.passfile"],
];

/** The signing key, and every file and folder that the settings name. Errors are added to `faults`. */
export function findReferencedFiles(
  settings: Settings,
  signingKey: Homeserver["signingKey"],
  placeOf: ToHostPath,
  faults: string[],
): Referenced[] {
  const referenced: Referenced[] = [];
  if (signingKey.kind === "file") {
    referenced.push({
      setting: "signing_key_path",
      path: signingKey.path,
      role: "signing-key",
      required: true,
    });
  }
  const add = (role: Role, pattern: string, required: boolean) => {
    for (const { setting, value } of findSettings(settings, pattern)) {
      if (typeof value !== "string") faults.push(`${setting} is not a path`);
      else if (value !== "") referenced.push({ setting, path: placeOf(value), role, required });
    }
  };
  for (const pattern of SECRET_FILE_SETTINGS) add("secret", pattern, pattern !== GENERATED_BY_SYNAPSE);
  for (const [role, pattern, required] of FILE_SETTINGS) add(role, pattern, required !== undefined);
  return referenced;
}

/** synapse/config/key.py: `signing_key` wins over `signing_key_path`, which has a default beside the configuration. */
export function signingKeyOf(
  settings: Settings,
  serverName: string,
  configFolder: string,
  placeOf: ToHostPath,
  faults: string[],
): Homeserver["signingKey"] {
  if ("signing_key" in settings) {
    const text = settings["signing_key"];
    if (typeof text !== "string") faults.push("signing_key is not a string");
    return { kind: "inline", text: typeof text === "string" ? text : "" };
  }
  const path = settings["signing_key_path"] ?? join(configFolder, `${serverName}.signing.key`);
  if (typeof path !== "string") faults.push("signing_key_path is not a path");
  return { kind: "file", path: placeOf(typeof path === "string" ? path : ".") };
}
