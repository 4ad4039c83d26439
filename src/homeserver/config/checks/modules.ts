import type { Finding } from "../../../report/finding.ts";
import type { Homeserver, Settings } from "../../homeserver.ts";
import { findSettings, type FoundSetting, isMapping, settingAt } from "../../settings.ts";

/** Where a setting names a Python class that Synapse loads, and does not start without (synapse/util/module_loader.py). */
const MODULE_SETTINGS = [
  "modules[*].module",
  "password_providers[*].module",
  "spam_checker.module",
  "spam_checker[*].module",
  "third_party_event_rules.module",
  "presence.presence_router.module",
  "media_storage_providers[*].module",
  "oidc_providers[*].user_mapping_provider.module",
  "oidc_config.user_mapping_provider.module",
  "saml2_config.user_mapping_provider.module",
];

/** The names of the pip packages that these modules come from. */
const PACKAGES: Readonly<Record<string, string>> = {
  s3_storage_provider: "synapse-s3-storage-provider",
  ldap_auth_provider: "matrix-synapse-ldap3",
};

/** What must be installed on the new host besides Synapse itself. */
export function moduleFindings({ settings, database }: Homeserver): Finding[] {
  return [...modules(settings), ...extras(settings, database.kind === "sqlite")];
}

/** An optional part of Synapse, or a class that a setting names: Synapse imports it when it starts. */
export interface PythonPart {
  readonly kind: "extra" | "class";
  /** Of the extra, or of the class with its module. */
  readonly name: string;
  /** What asks for it: "redis", "modules[0].module". */
  readonly neededFor: string;
}

/** What Synapse imports for this configuration, besides what it always needs. */
export function pythonParts({ settings, database }: Homeserver): PythonPart[] {
  const extras = database.kind === "sqlite" ? [] : [{ name: "postgres", neededFor: "PostgreSQL" }];
  extras.push(...extrasOf(settings).map((name) => ({ name, neededFor: name })));
  return [
    ...extras.map((extra) => ({ kind: "extra" as const, ...extra })),
    ...namedModules(settings).map(({ setting, value }) => ({
      kind: "class" as const,
      name: value,
      neededFor: setting,
    })),
  ];
}

const namedModules = (settings: Settings) =>
  MODULE_SETTINGS.flatMap((pattern) => findSettings(settings, pattern))
    .filter((one): one is FoundSetting & { value: string } => typeof one.value === "string")
    .filter(({ value }) => !isOfSynapse(value));

function modules(settings: Settings): Finding[] {
  const named = namedModules(settings);
  if (named.length === 0) return [];
  const packages = [...new Set(named.map(({ value }) => value.split(".")[0]!))];
  return [
    {
      id: "modules",
      level: "warning",
      sentence: `the new host must have the Python ${packages.length === 1 ? "package" : "packages"} ${packages.join(", ")}: without it Synapse does not start`,
      evidence: named.map(({ setting, value }) => `${setting}: ${value}`),
      hint: `install ${packages.map((name) => PACKAGES[name] ?? name).join(", ")} where the new Synapse is, for its version; what these modules store outside of Synapse's database must be moved separately`,
    },
  ];
}

/** Includes the older names of Synapse's own modules, which Synapse still translates. */
const isOfSynapse = (module: string) =>
  module === "file_system" ||
  (/^synapse\./.test(module) && module !== "synapse.util.ldap_auth_provider.LdapAuthProvider");

/** The optional parts of Synapse's package, and when its configuration asks for one (`check_requirements` in synapse/config/). */
const EXTRAS: readonly (readonly [extra: string, isNeeded: (settings: Settings) => boolean])[] = [
  ["oidc", (settings) => isList(settings["oidc_providers"]) || isOn(settings, "oidc_config.enabled")],
  ["saml2", usesSaml],
  ["jwt", (settings) => isOn(settings, "jwt_config.enabled")],
  ["redis", (settings) => isOn(settings, "redis.enabled")],
  ["url-preview", (settings) => isOn(settings, "url_preview_enabled")],
  ["opentracing", (settings) => isOn(settings, "opentracing.enabled")],
  ["sentry", (settings) => settingAt(settings, "sentry.dsn") !== undefined],
  ["cache-memory", (settings) => isOn(settings, "caches.track_memory_usage")],
  ["matrix-synapse-ldap3", (settings) => isOn(settings, "ldap_config.enabled")],
];

const extrasOf = (settings: Settings) =>
  EXTRAS.filter(([, isNeeded]) => isNeeded(settings)).map(([extra]) => extra);

function extras(settings: Settings, isSqlite: boolean): Finding[] {
  const needed = extrasOf(settings);
  if (needed.length === 0) return [];
  const all = [...(isSqlite ? [] : ["postgres"]), ...needed];
  return [
    {
      id: "extras",
      level: "note",
      sentence: `the new host's Synapse needs these optional dependencies: ${all.join(", ")}`,
      hint: `the packages of packages.matrix.org and the container images have them, Debian's own package has not all of them (Redis is missing); open imports each before it starts anything; with pip: pip install "matrix-synapse[${all.join(",")}]"`,
    },
  ];
}

function usesSaml(settings: Settings): boolean {
  const saml = settings["saml2_config"];
  if (!isMapping(saml) || saml["enabled"] === false) return false;
  return Boolean(saml["sp_config"] ?? saml["config_path"]);
}

const isOn = (settings: Settings, setting: string) => settingAt(settings, setting) === true;
const isList = (value: unknown) => Array.isArray(value) && value.length > 0;
