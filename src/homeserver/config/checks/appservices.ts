import { MigrationError } from "../../../errors.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Homeserver, Referenced } from "../../homeserver.ts";
import { isMapping } from "../../settings.ts";
import { parseYaml, YamlSyntaxError } from "../yaml/yaml.ts";

/** A bridge, a bot or another application service that is registered with Synapse. */
export interface Appservice {
  readonly id: string;
  /** The address that Synapse sends events to, without the password that it may contain; undefined when it sends none. */
  readonly url: string | undefined;
  readonly path: string;
  /** The namespaces that it registers: "users @telegram_.*:example\\.org". */
  readonly namespaces: readonly string[];
}

/** Lists the application services, and what would keep Synapse from starting with them. Never shows a token. */
export async function inspectAppservices(
  { referenced }: Homeserver,
  files: Files,
): Promise<{ appservices: Appservice[]; findings: Finding[] }> {
  const appservices: Appservice[] = [];
  const findings: Finding[] = [];
  const ids = new Map<string, string>();
  const tokens = new Map<string, string>();
  for (const registration of referenced.filter(({ role }) => role === "appservice")) {
    const read = await readRegistration(registration, files);
    if (read === undefined) continue;
    if (typeof read === "string") {
      findings.push(brokenFinding(registration, read));
      continue;
    }
    const { appservice, token } = read;
    appservices.push(appservice);
    findings.push(
      ...duplicateFindings("id", appservice.id, appservice, ids),
      ...duplicateFindings("as_token", token, appservice, tokens),
    );
  }
  return { appservices, findings: [...appserviceFindings(appservices), ...findings] };
}

/** By the rules of `_load_appservice`, synapse/config/appservice.py. A string says what is wrong; undefined means that another check reports it. */
async function readRegistration(
  { path }: Referenced,
  files: Files,
): Promise<{ appservice: Appservice; token: string } | string | undefined> {
  let value: unknown;
  try {
    value = parseYaml(await files.readText(path));
  } catch (error) {
    if (error instanceof YamlSyntaxError) return error.message;
    // Missing files are found with all others that the settings name.
    if (error instanceof MigrationError) return undefined;
    throw error;
  }
  if (!isMapping(value)) return "it is not a mapping of settings";
  for (const field of ["id", "as_token", "hs_token", "sender_localpart"])
    if (typeof value[field] !== "string") return `${field} is missing or not a string`;
  const { id, as_token: token, url, namespaces } = value;
  if (typeof url !== "string" && url !== null) return "url is missing: it is required, at least as null";
  if (!isMapping(namespaces)) return "namespaces is missing";
  const named: string[] = [];
  for (const kind of ["users", "aliases", "rooms"]) {
    const entries = namespaces[kind] ?? [];
    if (!Array.isArray(entries)) return `namespaces.${kind} is not a list`;
    for (const entry of entries as unknown[]) {
      if (!isMapping(entry) || typeof entry["regex"] !== "string" || typeof entry["exclusive"] !== "boolean")
        return `an entry of namespaces.${kind} lacks regex or exclusive`;
      named.push(`${kind} ${entry["regex"]}`);
    }
  }
  const appservice = {
    id: id as string,
    url: url === null ? undefined : withoutCredentials(url),
    path,
    namespaces: named,
  };
  return { appservice, token: token as string };
}

function appserviceFindings(appservices: readonly Appservice[]): Finding[] {
  if (appservices.length === 0) return [];
  const here = appservices.filter(({ url }) => url !== undefined && isLocalAddress(url));
  const names = (all: readonly Appservice[]) => all.map(({ id }) => id).join(", ");
  const list: Finding = {
    id: "appservices",
    level: "note",
    sentence: `${appservices.length} application ${appservices.length === 1 ? "service is" : "services are"} registered: ${names(appservices)}`,
    evidence: appservices.map(({ id, url, path }) => `${id}: ${url ?? "receives no events"} (${path})`),
    hint: "the registrations are moved; the databases and settings of bridges and bots are not",
  };
  if (here.length === 0) return [list];
  return [
    list,
    {
      id: "appservices-local-address",
      level: "warning",
      sentence: `the new host cannot reach ${names(here)} at the address that is configured now`,
      evidence: here.map(({ id, url, path }) => `${id}: ${url!} (${path})`),
      hint: "move them too, or change url in their registrations on the new host to an address that reaches this host; the homeserver address in their own configuration must change as well",
    },
  ];
}

/** Whether the address is loopback, or the bare name of a container or a host: on another host it means something else. */
function isLocalAddress(url: string): boolean {
  const host = URL.parse(url)?.hostname ?? "";
  if (host.startsWith("[")) return /^\[(?:::1|::|fe80:.*)\]$/.test(host);
  return host === "localhost" || /^(?:127|0)\./.test(host) || (host !== "" && !host.includes("."));
}

/** The address without the password that it may contain. */
function withoutCredentials(url: string): string {
  const parsed = URL.parse(url);
  return parsed
    ? `${parsed.protocol}//${parsed.host}${parsed.pathname.replace(/^\/$/, "")}`
    : "an address that is not a URL";
}

const brokenFinding = ({ setting, path }: Referenced, problem: string): Finding => ({
  id: `appservice-broken:${setting}`,
  level: "blocker",
  sentence: `Synapse does not start with the registration ${path}: ${problem}`,
  hint: `correct it, or remove ${setting} from the configuration; the running server read the file before this error was made`,
});

function duplicateFindings(
  field: "id" | "as_token",
  value: string,
  { id, path }: Appservice,
  seen: Map<string, string>,
): Finding[] {
  const before = seen.get(value);
  seen.set(value, path);
  if (before === undefined) return [];
  return [
    {
      id: `appservice-duplicate:${id}`,
      level: "blocker",
      sentence: `two registrations have the same ${field}, and Synapse does not start with them: ${before} and ${path}`,
      hint: "remove one of them from app_service_config_files, or change its value",
    },
  ];
}
