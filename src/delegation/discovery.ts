import type { DnsAnswer } from "../system/dns/answer.ts";
import { valueText } from "../system/dns/message.ts";
import type { DiscoveryStep, StepId, WellKnownFact } from "./facts.ts";
import type { LookupContext } from "./fetch.ts";
import type { ServerName } from "./server-name.ts";
import { fetchServerFile } from "./well-known.ts";

/** Where other servers connect to, and with which names. */
export interface Endpoint {
  readonly step: StepId;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
  readonly hostHeader: string;
  readonly certificateName: string;
  readonly sni: string | null;
}

export interface Discovery {
  readonly steps: readonly DiscoveryStep[];
  readonly endpoint?: Endpoint;
  readonly serverFile?: WellKnownFact;
  readonly delegated?: ServerName;
}

/** The default port of federation. */
const DEFAULT_PORT = 8448;

/**
 * Discovers a server as other servers do: server-server API, "Resolving server names", step by step, as in Synapse
 * (synapse/http/federation/matrix_federation_agent.py, srv_resolver.py). Only a missing record leads to the next step:
 * a failed lookup, or an SRV record with the target ".", ends discovery.
 */
export async function discoverServer(name: ServerName, asking: LookupContext): Promise<Discovery> {
  const direct = resolveDirectly(name, { address: "1", port: "2" });
  if (direct) return direct;

  const { fact: serverFile, delegated } = await fetchServerFile(name, asking);
  const asked = serverFile.url;
  if (!delegated) {
    const step = { id: "3", asked, answer: serverFile.problem ?? "nothing", outcome: "passed" } as const;
    const rest = await resolveBySrv(name, ["4", "5", "6"], asking);
    return { ...rest, steps: [step, ...rest.steps], serverFile };
  }
  const step = { id: "3", asked, answer: `m.server is ${delegated.text}`, outcome: "passed" } as const;
  const rest = await discoverDelegated(delegated, asking);
  return { ...rest, steps: [step, ...rest.steps], serverFile, delegated };
}

/** Where others connect to once a well-known file names this host: the rest of discovery, from its third step. */
export async function discoverDelegated(name: ServerName, asking: LookupContext): Promise<Discovery> {
  return (
    resolveDirectly(name, { address: "3.1", port: "3.2" }) ??
    (await resolveBySrv(name, ["3.3", "3.4", "3.5"], asking))
  );
}

/** The result for a name that needs no lookup: an IP address, or a name with a port. */
function resolveDirectly(
  name: ServerName,
  ids: { readonly address: StepId; readonly port: StepId },
): Discovery | undefined {
  if (name.family === 0 && name.port === undefined) return undefined;
  const id = name.family === 0 ? ids.port : ids.address;
  const port = name.port ?? DEFAULT_PORT;
  const answer = name.family === 0 ? `port ${port}` : `it is an IP address, port ${port}`;
  return {
    steps: [{ id, asked: name.text, answer, outcome: "taken" }],
    endpoint: endpointAt(name, id, [{ host: name.host, port }]),
  };
}

async function resolveBySrv(
  name: ServerName,
  [current, deprecated, last]: readonly [StepId, StepId, StepId],
  { lookups }: LookupContext,
): Promise<Discovery> {
  const steps: DiscoveryStep[] = [];
  for (const [id, service] of [
    [current, `_matrix-fed._tcp.${name.host}`],
    [deprecated, `_matrix._tcp.${name.host}`],
  ] as const) {
    const found = await lookups.lookUp(service, "SRV");
    const targets = targetsOf(found);
    const outcome = targets.length > 0 ? "taken" : isAbsent(found) ? "passed" : "stopped";
    // A single target of "." means that the service is not available (RFC 2782).
    const closed = outcome === "stopped" && found.outcome === "found";
    const answer = `${closed ? "the service is not offered: " : ""}${answerText(found)}`;
    steps.push({ id, asked: `SRV ${service}`, answer, outcome });
    if (outcome === "stopped") return { steps };
    if (outcome === "taken") return { steps, endpoint: endpointAt(name, id, targets) };
  }
  steps.push({ id: last, asked: name.host, answer: `port ${DEFAULT_PORT}`, outcome: "taken" });
  return { steps, endpoint: endpointAt(name, last, [{ host: name.host, port: DEFAULT_PORT }]) };
}

const endpointAt = (name: ServerName, step: StepId, targets: Endpoint["targets"]): Endpoint => ({
  step,
  targets,
  hostHeader: name.text,
  certificateName: name.host,
  sni: name.family === 0 ? name.host : null,
});

const isAbsent = ({ outcome }: DnsAnswer) => outcome === "no-name" || outcome === "no-data";

/** In the order of RFC 2782: by priority, then by weight, the greater first. */
function targetsOf({ records }: DnsAnswer): { host: string; port: number }[] {
  return records
    .flatMap((record) => (record.type === "SRV" && record.target !== "." ? [record] : []))
    .sort((a, b) => a.priority - b.priority || b.weight - a.weight)
    .map(({ target, port }) => ({ host: target, port }));
}

/** The result of a lookup as text. */
export function answerText({ outcome, records }: DnsAnswer): string {
  const said = records.map((record) => valueText(record)).join(", ");
  return outcome === "found" ? said : OUTCOME_TEXT[outcome];
}

export const OUTCOME_TEXT = {
  "no-data": "no such record",
  "no-name": "no such name",
  failed: "the name servers return an error",
  refused: "the name servers refuse the query",
  silent: "no name server responds",
  garbled: "the response of the name servers is malformed",
  loop: "the CNAME records form a loop",
} as const;
