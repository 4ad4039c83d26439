import { join } from "node:path";
import { stringify } from "yaml";
import { MigrationError } from "../../errors.ts";
import { masEndpoint } from "../../homeserver/config/checks/host.ts";
import { WORKER_SETTINGS } from "../../homeserver/config/worker-settings.ts";
import type { Homeserver, Settings } from "../../homeserver/homeserver.ts";
import { waitUntilUp } from "../../homeserver/service/start.ts";
import type { Finding } from "../../report/finding.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { type Opening, verifyStarted } from "./start.ts";

export interface Trial extends Pick<Opening, "record" | "inventory" | "homeserver" | "token"> {
  /** The Python that has Synapse; undefined where this host has none. */
  readonly python: string | undefined;
  /** On loopback, where a person tries the server out. */
  readonly port: number;
}

export interface TrialResult {
  readonly findings: readonly Finding[];
  readonly url: string;
  /** The shell command that stops it. */
  readonly stop: string;
}

const START_TIMEOUT_MS = 120_000;

/**
 * Starts the restored server in isolation without lifting its fence: with the fenced files, plus one that
 * disables federation, mail, push and bridges. It keeps running. Throws `bad-usage`, `target-unsuitable`, `start-failed`.
 */
export async function startTrial(trial: Trial, system: System): Promise<TrialResult> {
  const { record, homeserver, python, port } = trial;
  const { files, http, machine, programs } = system;
  const { folder } = record.fence;
  if (python === undefined)
    throw new MigrationError("bad-usage", "--isolated starts Synapse itself, but no Synapse was found", {
      hint: "install it on this host, for example in a virtual environment, and give that: --synapse FOLDER",
    });
  if (await http.accepts("127.0.0.1", port, 2000))
    throw new MigrationError("target-unsuitable", `another program is listening on 127.0.0.1:${port}`, {
      hint: "choose another port with --port, or stop the trial that is running there",
    });
  const [overlay, pidFile] = [join(folder, "isolated.yaml"), join(folder, "isolated.pid")];
  await files.writeAtomically(
    overlay,
    `# Made by synlift, for a trial.\n${stringify(isolatedSettings(homeserver.settings, { port, pidFile }))}`,
  );
  if (record.owner) await files.setOwner(overlay, record.owner.uid, record.owner.gid);
  const account = record.owner && machine.isRoot ? machine.account(record.owner.name) : undefined;
  const configs = [...record.fencedPaths, overlay].flatMap((path) => ["-c", path]);
  const args = ["-m", "synapse.app.homeserver", ...configs, "--daemonize"];
  const stop = `kill "$(cat ${quoteShellWord(pidFile)})"`;
  try {
    await programs.startDetached({ name: python, args, folder, ...(account ? { account } : {}) });
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError("start-failed", `Synapse does not start: ${error.message}`, {
      hint: "look at its log",
      cause: error,
    });
  }
  const url = `http://127.0.0.1:${port}`;
  const end = () =>
    programs
      .startDetached({ name: "sh", args: ["-c", stop] }, { evenIfStopped: true })
      .catch(() => undefined);
  try {
    await waitUntilUp(url, START_TIMEOUT_MS, system);
    const findings = [...(await verifyStarted(url, trial, system)), ...trialWarnings(homeserver)];
    if (findings.some(({ level }) => level === "blocker")) await end();
    return { findings, url, stop };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Settings that make Synapse contact other systems; without them it does not. */
const OUTBOUND_SETTINGS = [
  "email",
  "account_validity",
  "oidc_config",
  "saml2_config",
  "cas_config",
  "opentracing",
];

/** Overrides for everything that contacts other systems (synapse/config); each replaces the whole setting of that name. */
export function isolatedSettings(
  settings: Settings,
  { port, pidFile }: { port: number; pidFile: string },
): Record<string, unknown> {
  const gone = [...WORKER_SETTINGS, ...OUTBOUND_SETTINGS]
    .filter((setting) => settings[setting] !== undefined)
    // Synapse takes null for the others, and refuses it here (synapse/config/workers.py).
    .map((setting) => [setting, setting === "instance_map" ? {} : null] as const);
  return {
    ...Object.fromEntries(gone),
    listeners: [
      {
        port,
        type: "http",
        bind_addresses: ["127.0.0.1"],
        resources: [{ names: ["client", "keys"], compress: false }],
      },
    ],
    pid_file: pidFile,
    // An empty list: no server is allowed, in either direction.
    federation_domain_whitelist: [],
    federation_sender_instances: [],
    trusted_key_servers: [],
    // Blocks every outgoing request: to other servers, push gateways and previewed pages.
    ip_range_blacklist: ["0.0.0.0/0", "::/0"],
    ip_range_whitelist: [],
    pusher_instances: [],
    registrations_require_3pid: [],
    account_threepid_delegates: {},
    enable_registration: false,
    app_service_config_files: [],
    url_preview_enabled: false,
    report_stats: false,
    modules: [],
    oidc_providers: [],
    redis: { enabled: false },
    media_storage_providers: [],
  };
}

function trialWarnings({ settings }: Homeserver): Finding[] {
  const service = masEndpoint(settings);
  const sentry: Finding[] =
    settings["sentry"] === undefined
      ? []
      : [
          {
            id: "isolated-sentry",
            level: "warning",
            sentence: "the trial reports errors to Sentry, which a further configuration file cannot disable",
            hint: "remove sentry from the fenced configuration if this is not wanted",
          },
        ];
  if (service === undefined) return sentry;
  return [
    ...sentry,
    {
      id: "isolated-authentication",
      level: "warning",
      sentence: `the trial authenticates users with the service at ${service}`,
      hint: "make sure that the real server does not use the same service",
    },
  ];
}
