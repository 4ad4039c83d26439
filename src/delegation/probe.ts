import { isDeepStrictEqual } from "node:util";
import type { Certificate } from "../system/http/certificate.ts";
import type { HttpAnswer } from "../system/http/http.ts";
import { NoAnswer } from "../system/http/no-answer.ts";
import type { Endpoint } from "./discovery.ts";
import type { AddressFact, ClientFact, FederationFact } from "./facts.ts";
import { type LookupContext, reachableAddresses } from "./fetch.ts";
import type { HostAddress } from "./lookups.ts";
import { asObject, jsonObject } from "./well-known.ts";

/** Maximum size of a response in bytes: a server's keys and its versions have a few hundred. */
const LARGEST = 1024 * 1024;

interface ProbeRequest {
  /** The name that the certificate must be valid for; undefined without TLS. */
  readonly certificateName: string | undefined;
  readonly url: string;
  readonly hostHeader: string;
}

interface ProbeResult {
  readonly fact: AddressFact;
  readonly answer?: HttpAnswer;
}

/** Connects to every address of every target as another server would. */
export async function probeFederation(endpoint: Endpoint, asking: LookupContext): Promise<FederationFact> {
  const { hostHeader, certificateName } = endpoint;
  const url = `https://${hostHeader}/_matrix/key/v2/server`;
  const seen = await Promise.all(
    endpoint.targets.map(({ host, port }) =>
      probeAll(host, port, { certificateName, url, hostHeader }, asking),
    ),
  );
  const all = seen.flat();
  const answers = all.flatMap(({ fact, answer }) => {
    const published = publishedIn(answer);
    return published ? [{ fact, published }] : [];
  });
  const published = answers[0]?.published;
  const differ = answers.some((one) => !isDeepStrictEqual(one.published, published));
  const told = differ ? answers.map((one) => publishedText(one.fact, one.published)) : [];
  const addresses = all.map((one) =>
    publishedIn(one.answer) || one.fact.state !== "answers"
      ? one.fact
      : wrongService(one, "does not publish a signing key"),
  );
  return {
    ...endpoint,
    addresses,
    ...(published ? { published } : {}),
    ...(differ ? { differing: told } : {}),
  };
}

const publishedText = (
  { address, port }: AddressFact,
  { serverName, verifyKeys }: NonNullable<FederationFact["published"]>,
) => {
  const keys = Object.entries(verifyKeys).map(([id, key]) => `${id} ${key}`);
  return `${address} port ${port}: ${serverName}, ${keys.join(", ") || "no key"}`;
};

/** Connects to every address of the base URL as a client would. */
export async function probeClient(
  baseUrl: string,
  source: ClientFact["source"],
  asking: LookupContext,
): Promise<ClientFact> {
  const url = new URL(baseUrl);
  const secure = url.protocol === "https:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  const question = {
    certificateName: secure ? host : undefined,
    url: `${baseUrl.replace(/\/+$/, "")}/_matrix/client/versions`,
    hostHeader: url.host,
  };
  const all = await probeAll(host, port, question, asking);
  const addresses = all.map((one) =>
    hasVersions(one.answer) || one.fact.state !== "answers"
      ? one.fact
      : wrongService(one, "is not a homeserver"),
  );
  return {
    baseUrl,
    source,
    host,
    port,
    addresses,
    answers: addresses.some(({ state }) => state === "answers"),
  };
}

async function probeAll(
  host: string,
  port: number,
  question: ProbeRequest,
  asking: LookupContext,
): Promise<ProbeResult[]> {
  const { addresses, refused } = await reachableAddresses(host, asking);
  const asked = await Promise.all(addresses.map((address) => probe(address, port, question, asking)));
  return [...asked, ...refused.map((place) => ({ fact: { ...place, port, state: "private" as const } }))];
}

async function probe(
  place: HostAddress,
  port: number,
  { certificateName, url, hostHeader }: ProbeRequest,
  { http, timeout, signal }: LookupContext,
): Promise<ProbeResult> {
  const at = { address: place.address, port };
  const base = { ...place, port };
  let certificate: Certificate | undefined;
  try {
    if (certificateName !== undefined)
      certificate = await http.certificate(certificateName, at, { timeout, signal });
    const headers = { host: hostHeader };
    const answer = await http.get(url, { at, headers, timeout, signal, limit: LARGEST });
    return { fact: { ...base, state: "answers", ...(certificate ? { certificate } : {}) }, answer };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const state = error.kind === "no-route" ? "untried" : "unanswered";
    return { fact: { ...base, state, problem: error.message, ...(certificate ? { certificate } : {}) } };
  }
}

const wrongService = ({ fact, answer }: ProbeResult, what: string): AddressFact => ({
  ...fact,
  state: "unanswered",
  problem: `the service at this address ${what} (status ${answer?.status ?? 0})`,
});

const hasVersions = (answer: HttpAnswer | undefined) =>
  answer?.status === 200 && Array.isArray(jsonObject(answer.body)?.["versions"]);

function publishedIn(answer: HttpAnswer | undefined): FederationFact["published"] {
  const body = answer?.status === 200 ? jsonObject(answer.body) : undefined;
  const [serverName, keys] = [body?.["server_name"], asObject(body?.["verify_keys"])];
  if (typeof serverName !== "string" || !keys) return undefined;
  const verifyKeys = Object.entries(keys).flatMap(([id, value]) => {
    const key = asObject(value)?.["key"];
    return typeof key === "string" ? [[id, key]] : [];
  });
  return { serverName, verifyKeys: Object.fromEntries(verifyKeys) as Record<string, string> };
}
