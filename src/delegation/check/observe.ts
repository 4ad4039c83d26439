import type { Certificate } from "../../system/http/certificate.ts";
import type { Http, HttpAnswer } from "../../system/http/http.ts";
import { NoAnswer } from "../../system/http/no-answer.ts";
import type { LookupContext } from "../fetch.ts";
import { type KeyAnswer, readKeyAnswer } from "../key-answer.ts";
import { asObject, jsonObject } from "../well-known.ts";
import { ORIGIN, originFault, PREFLIGHT, preflightFault } from "./cors.ts";

/** One address that is asked, and how. */
export interface Place {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

/** "matrix.example.org, 192.0.2.7 port 443". */
export const placeText = ({ host, address, port }: Place) =>
  `${host === address ? "" : `${host}, `}${address} port ${port}`;

/** A value, or why there is none. `noRoute`: this host cannot reach that network, which says nothing of the server. */
export type Asked<T> =
  | { readonly value: T; readonly problem?: undefined; readonly noRoute?: undefined }
  | { readonly value?: undefined; readonly problem: string; readonly noRoute?: boolean };

/** What one address says to other servers. */
export interface FederationSeen extends Place {
  readonly certificateName: string;
  readonly certificate: Asked<Certificate>;
  readonly keys: Asked<KeyAnswer>;
  /** "Synapse 1.163.2". */
  readonly version: Asked<string>;
}

/** What one address says to clients. */
export interface ClientSeen extends Place {
  readonly url: string;
  /** Undefined without TLS. */
  readonly certificate: Asked<Certificate> | undefined;
  readonly versions: Asked<readonly string[]>;
  /** Why browsers cannot use it. */
  readonly cors: Asked<undefined>;
}

type Tools = Pick<LookupContext, "http" | "timeout" | "signal">;

/** Bytes: keys and versions have some hundred. */
const LARGEST = 1024 * 1024;

export interface FederationQuestion extends Place {
  readonly hostHeader: string;
  readonly certificateName: string;
}

/** Asks one address as another server would. */
export async function askFederation(
  { hostHeader, certificateName, ...place }: FederationQuestion,
  tools: Tools,
): Promise<FederationSeen> {
  const fetched = (path: string) =>
    attempt(() => getJson(`https://${hostHeader}${path}`, { place, headers: { host: hostHeader } }, tools));
  const [certificate, keys, version] = await Promise.all([
    attempt(() => certificateAt(certificateName, place, tools)),
    fetched("/_matrix/key/v2/server"),
    fetched("/_matrix/federation/v1/version"),
  ]);
  return {
    ...place,
    certificateName,
    certificate,
    keys: refine(keys, (body) => readKeyAnswer(body), "does not publish a signing key"),
    version: refine(version, versionIn, "does not tell its version"),
  };
}

function versionIn(body: Readonly<Record<string, unknown>>): string | undefined {
  const server = asObject(body["server"]);
  const [name, version] = [server?.["name"], server?.["version"]];
  return typeof name === "string" && typeof version === "string" ? `${name} ${version}` : undefined;
}

/** Asks one address as a client would, and as one in a browser. */
export async function askClientApi(url: string, place: Place, tools: Tools): Promise<ClientSeen> {
  const { protocol, hostname } = new URL(url);
  const name = hostname.replace(/^\[(.*)\]$/, "$1");
  const headers = { origin: ORIGIN };
  const versionsUrl = `${url}/_matrix/client/versions`;
  const [certificate, answered, preflight] = await Promise.all([
    protocol === "https:" ? attempt(() => certificateAt(name, place, tools)) : undefined,
    attempt(() => getJson(versionsUrl, { place, headers }, tools)),
    // Any path below the API: Synapse and the proxies before it answer them all in the same way.
    attempt(() =>
      ask("OPTIONS", `${url}/_matrix/client/v3/account/whoami`, { place, headers: PREFLIGHT }, tools),
    ),
  ]);
  const versions = refine(
    answered,
    ({ versions: list }) =>
      Array.isArray(list) ? list.filter((one): one is string => typeof one === "string") : undefined,
    "is not a homeserver",
  );
  return { ...place, url, certificate, versions, cors: corsOf(answered, preflight) };
}

function corsOf(answered: Asked<JsonAnswer>, preflight: Asked<HttpAnswer>): Asked<undefined> {
  if (answered.value === undefined) return answered;
  if (preflight.value === undefined) return preflight;
  const problem = preflightFault(preflight.value) ?? originFault(answered.value.answer.headers);
  return problem === undefined ? { value: undefined } : { problem };
}

/** The certificate at an address; it may be one that is not trusted. */
const certificateAt = (name: string, at: Place, { http, timeout, signal }: Tools) =>
  http.certificate(name, at, { timeout, signal });

interface JsonAnswer {
  readonly answer: HttpAnswer;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

interface AskedOf {
  readonly place: Place;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
}

const ask = (
  method: Parameters<Http["request"]>[0],
  url: string,
  { place, ...more }: AskedOf,
  { http, timeout, signal }: Tools,
) => http.request(method, url, { at: place, timeout, signal, limit: LARGEST, ...more });

/** A JSON object from one address. Rejects as `Http` does. */
export async function getJson(url: string, asked: AskedOf, tools: Tools): Promise<JsonAnswer> {
  const answer = await ask("GET", url, asked, tools);
  return { answer, body: jsonObject(answer.body) };
}

/** The answer to a POST with JSON, at one address. */
export async function postJson(url: string, asked: AskedOf, tools: Tools): Promise<Asked<JsonAnswer>> {
  return attempt(async () => {
    const answer = await ask("POST", url, asked, tools);
    return { answer, body: jsonObject(answer.body) };
  });
}

/** A failure of the other side as a value. Rejects only with the signal's reason. */
export async function attempt<T>(act: () => Promise<T>): Promise<Asked<T>> {
  try {
    return { value: await act() };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { problem: error.message, noRoute: error.kind === "no-route" };
  }
}

/** What a JSON answer with status 200 contains; `otherwise` says what a service is that answers differently. */
export function refine<T>(
  asked: Asked<JsonAnswer>,
  read: (body: Readonly<Record<string, unknown>>) => T | undefined,
  otherwise: string,
): Asked<T> {
  if (asked.value === undefined) return asked;
  const { answer, body } = asked.value;
  const value = answer.status === 200 && body !== undefined ? read(body) : undefined;
  if (value !== undefined) return { value };
  return { problem: `the service at this address ${otherwise} (status ${answer.status})` };
}
