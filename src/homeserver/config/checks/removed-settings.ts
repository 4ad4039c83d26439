import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Homeserver, Settings } from "../../homeserver.ts";
import { findSettings, isMapping, settingAt } from "../../settings.ts";
import { isSince, type Version } from "../../synapse-versions.ts";
import { parseYaml, YamlSyntaxError } from "../yaml/yaml.ts";

/** The versions between which a homeserver moves, as far as they are known. */
export interface MoveVersions {
  readonly source?: Version | undefined;
  readonly target?: Version | undefined;
}

/** A setting that Synapse no longer accepts: it does not start with it. */
interface Removed {
  /** The setting, as `findSettings` takes it. */
  readonly pattern: string;
  /** The first version that refuses it. */
  readonly since: string;
  /** Whether this value is refused; any when left out. */
  readonly refuses?: (value: unknown, settings: Settings) => boolean;
  /** What to do instead. */
  readonly hint: string;
}

const isOn = (value: unknown) =>
  value !== false && value !== 0 && value !== "" && value !== null && value !== undefined;

/**
 * Sources: Synapse's upgrade notes (docs/upgrade.md, and CHANGES.md for 1.8, 1.48 and 1.157), and `read_config` of
 * synapse/config/experimental.py, registration.py, emailconfig.py, logger.py, server.py, workers.py and homeserver.py.
 * Each was tried on Synapse 1.163.2, which refuses it.
 */
const REMOVED: readonly Removed[] = [
  {
    pattern: "experimental_features.msc3861",
    since: "1.157",
    refuses: (value) => isMapping(value) && Object.keys(value).length > 0,
    hint: "change to matrix_authentication_service before the move, with a Synapse that supports both (1.136 to 1.156)",
  },
  {
    pattern: "account_threepid_delegates.email",
    since: "1.66",
    hint: "take it out and set up email, so that Synapse sends its own mails",
  },
  {
    pattern: "trust_identity_server_for_password_resets",
    since: "1.48",
    refuses: isOn,
    hint: "take it out and set up email, so that Synapse sends its own mails",
  },
  {
    pattern: "enable_registration",
    since: "1.56",
    refuses: (value, settings) => isOn(value) && !requiresVerification(settings),
    hint: "ask for an email address, a captcha or a token, or set enable_registration_without_verification",
  },
  // Rejected for years; this is only the version that was tested.
  { pattern: "invite_3pid_guest", since: "1.163", refuses: isOn, hint: "take it out" },
  { pattern: "log_file", since: "1.8", refuses: isOn, hint: "take it out, and name the file in log_config" },
  {
    pattern: "web_client_location",
    since: "1.53",
    refuses: (value) => typeof value === "string" && value !== "" && !/^https?:\/\//.test(value),
    hint: "give the address of a web client, or take it out",
  },
  {
    pattern: "listeners[*].type",
    since: "1.53",
    refuses: (value) => value === "webclient",
    hint: "take this listener out",
  },
  {
    pattern: "listeners[*].resources[*].names[*]",
    since: "1.53",
    refuses: (value) => value === "webclient",
    hint: "take webclient out of the names",
  },
  {
    pattern: "listeners[*].type",
    since: "1.67",
    refuses: (value) => value === "replication",
    hint: "remove this listener and set up redis, through which workers and main process now communicate",
  },
  {
    pattern: "worker_replication_port",
    since: "1.67",
    hint: "remove it and set up redis, through which workers and main process now communicate",
  },
];

/** The same for the file of a worker, whose settings are merged into the others. */
const REMOVED_FOR_WORKERS: readonly Removed[] = [
  "worker_replication_host",
  "worker_replication_http_port",
  "worker_replication_http_tls",
].map((pattern) => ({
  pattern,
  since: "1.88",
  refuses: isOn,
  hint: "remove it from the worker's file, and add main to instance_map in the shared configuration",
}));

function requiresVerification(settings: Settings): boolean {
  return [
    "enable_registration_without_verification",
    "enable_registration_captcha",
    "registrations_require_3pid",
    "registration_requires_token",
  ].some((setting) => {
    const value = settings[setting];
    return isOn(value) && !(Array.isArray(value) && value.length === 0);
  });
}

/** Settings with which the new host's Synapse would not start. */
export function removedFindings(
  { settings }: Pick<Homeserver, "settings">,
  between: MoveVersions,
): Finding[] {
  return found(settings, REMOVED, between, "");
}

/** The same of one worker's file. */
export function removedFromWorker(settings: Settings, path: string, between: MoveVersions): Finding[] {
  const ofWorkers = [
    ...REMOVED.filter(({ pattern }) => pattern.startsWith("worker_")),
    ...REMOVED_FOR_WORKERS,
  ];
  return found(settings, ofWorkers, between, ` in ${path}`);
}

function found(
  settings: Settings,
  table: readonly Removed[],
  { target }: MoveVersions,
  where: string,
): Finding[] {
  return table
    .filter(({ since }) => target === undefined || isSince(target, since))
    .flatMap(({ pattern, since, refuses, hint }) =>
      findSettings(settings, pattern)
        .filter(({ value }) => refuses?.(value, settings) ?? true)
        .map(({ setting, value }) => {
          const shown =
            typeof value === "string" && pattern.startsWith("listeners") ? ` is ${value}` : " is set";
          return removal(`${setting}${where}${shown}`, setting, since, target, hint);
        }),
    );
}

function removal(
  what: string,
  setting: string,
  since: string,
  target: Version | undefined,
  hint: string,
): Finding {
  return {
    id: `config-removed:${setting}`,
    level: target ? "blocker" : "warning",
    sentence: target
      ? `${what}, and the new host's Synapse ${target.text} does not start with it`
      : `${what}, and Synapse ${since} or later does not start with it`,
    hint,
  };
}

/** synapse/config/logger.py refuses `structured: true` in the file that `log_config` names. */
export async function removedFromLogConfig(
  { referenced }: Homeserver,
  files: Files,
  { target }: MoveVersions,
): Promise<Finding[]> {
  const since = "1.54";
  if (target && !isSince(target, since)) return [];
  const findings: Finding[] = [];
  for (const { path, setting } of referenced.filter(({ role }) => role === "log-config")) {
    const settings = await readMapping(path, files);
    if (!isOn(settingAt(settings, "structured"))) continue;
    const hint = "write handlers and formatters instead, as Synapse's page on structured logging shows";
    findings.push(removal(`structured in ${path} is set`, `${setting}.structured`, since, target, hint));
  }
  return findings;
}

/** Empty for a missing or invalid file: other checks report those. */
async function readMapping(path: string, files: Files): Promise<Settings> {
  try {
    const value = parseYaml(await files.readText(path));
    return isMapping(value) ? value : {};
  } catch (error) {
    if (error instanceof MigrationError || error instanceof YamlSyntaxError) return {};
    throw error;
  }
}
