import type { HttpAnswer } from "../system/http/http.ts";
import { clientFileSeconds, serverFileSeconds } from "./cache-time.ts";
import type { WellKnownFact } from "./facts.ts";
import { fetchFromHost, type LookupContext } from "./fetch.ts";
import { parseServerName, type ServerName } from "./server-name.ts";

/** Bytes. synapse/http/federation/well_known_resolver.py, WELL_KNOWN_MAX_SIZE. */
const LARGEST = 50 * 1024;
/** The limit of browsers and of Synapse's agent. */
const REDIRECTS = 20;

const REDIRECT_STATUS = [301, 302, 303, 307, 308];

/** Files below `/.well-known/` that are known to exist for homeservers, besides those for clients and servers. */
export const OTHER_FILES = [
  "matrix/support",
  "matrix/policy_server",
  "matrix/mautrix",
  "element/element.json",
] as const;

/** All of them. */
export const KNOWN_FILES = ["matrix/client", "matrix/server", ...OTHER_FILES] as const;

/** A well-known file as it was fetched: what happened, and the answer with status 200 if there was one. */
export interface FetchedFile {
  readonly fact: WellKnownFact;
  readonly answer?: HttpAnswer;
}

/** The server file, and its `m.server` if it is valid. */
export async function fetchServerFile(
  name: ServerName,
  asking: LookupContext,
): Promise<{ readonly fact: WellKnownFact; readonly delegated?: ServerName }> {
  return readServerFile(await fetchWellKnown("matrix/server", name, asking), asking.now());
}

export function readServerFile(
  { fact, answer }: FetchedFile,
  now: number,
): { readonly fact: WellKnownFact; readonly delegated?: ServerName } {
  if (!answer) return { fact };
  const cacheSeconds = serverFileSeconds(answer.headers, now);
  const value = jsonObject(answer.body)?.["m.server"];
  // Python's JSON parser rejects a byte order mark, which browsers ignore.
  if (Buffer.from(answer.body.subarray(0, 3)).toString("hex") === "efbbbf")
    return { fact: { ...fact, state: "broken", problem: "it begins with a byte order mark" } };
  const delegated = typeof value === "string" ? parseServerName(value) : undefined;
  if (!delegated) return { fact: { ...fact, ...brokenFile(answer.body, "m.server", value) } };
  const keys = keysIn(answer.body);
  return { fact: { ...fact, state: "valid", value: delegated.text, cacheSeconds, keys }, delegated };
}

/** A file that is only carried along. */
export function readOtherFile({ fact, answer }: FetchedFile): WellKnownFact {
  if (!answer) return fact;
  return jsonObject(answer.body) === undefined
    ? { ...fact, state: "broken", problem: "it contains no JSON object" }
    : { ...fact, keys: keysIn(answer.body) };
}

const keysIn = (body: Uint8Array) =>
  Object.keys(jsonObject(body) ?? {}).filter((key) => key !== "m.homeserver" && key !== "m.server");

/** The client file. */
export async function fetchClientFile(name: ServerName, asking: LookupContext): Promise<WellKnownFact> {
  return readClientFile(await fetchWellKnown("matrix/client", name, asking), asking.now());
}

export function readClientFile({ fact, answer }: FetchedFile, now: number): WellKnownFact {
  if (!answer) return fact;
  const file = jsonObject(answer.body);
  const value = asObject(file?.["m.homeserver"])?.["base_url"];
  const more = {
    cors: fact.redirects.every(({ cors }) => cors) && hasCors(answer),
    slidingSyncProxy: file?.["org.matrix.msc3575.proxy"] !== undefined,
  };
  if (typeof value !== "string" || !isWebAddress(value))
    return { ...fact, ...more, ...brokenFile(answer.body, "m.homeserver.base_url", value) };
  const cacheSeconds = clientFileSeconds(answer.headers, now);
  return { ...fact, ...more, state: "valid", value, cacheSeconds, keys: keysIn(answer.body) };
}

/**
 * A file below `/.well-known/`, from the host of the server name without its port, and from one address of it if that is
 * given. Follows redirects to a response with status 200; without one the fact says what happened. Begins no other request
 * after three times the time-out of one.
 */
export async function fetchWellKnown(
  path: string,
  { host, family }: ServerName,
  asking: LookupContext,
  at?: string,
): Promise<FetchedFile> {
  const url = `https://${family === 6 ? `[${host}]` : host}/.well-known/${path}`;
  const redirects: { status: number; to: string; cors: boolean }[] = [];
  const addresses = new Set<string>();
  const ended = (state: WellKnownFact["state"], more: Partial<WellKnownFact>) => ({
    fact: { url, redirects, cacheControl: null, ...more, state, addresses: [...addresses] },
  });
  const seen = new Set<string>();
  const time = AbortSignal.timeout(3 * asking.timeout);
  for (let next = new URL(url); ;) {
    seen.add(next.href);
    const first = redirects.length === 0 ? at : undefined;
    const reached = await fetchFromHost(next, asking, { limit: LARGEST, at: first, until: time });
    for (const address of reached.addresses) addresses.add(address);
    if (!reached.answer) {
      const { kind, problem } = reached;
      const broken = BROKEN.includes(kind) || redirects.length > 0;
      return ended(broken ? "broken" : "unreachable", { problem });
    }
    const { answer } = reached;
    const { status } = answer;
    const cacheControl = answer.headers.get("cache-control");
    if (status === 200) return { ...ended("valid", { status, cacheControl }), answer };
    if (!REDIRECT_STATUS.includes(status)) {
      const absent = status >= 400 && status < 500;
      return ended(absent ? "absent" : "broken", { status, cacheControl, problem: `status ${status}` });
    }
    const target = redirectTarget(answer, next);
    if (!target) return ended("broken", { status, problem: "it redirects to an invalid address" });
    redirects.push({ status, to: target.href, cors: hasCors(answer) });
    if (seen.has(target.href) || redirects.length > REDIRECTS)
      return ended("broken", { status, problem: "it redirects in a loop or too often" });
    if (time.aborted) return ended("broken", { status, problem: "its redirects take too long" });
    next = target;
  }
}

/** Failures that are a fault of the file and its web server, not of the way there. */
const BROKEN: readonly string[] = ["certificate", "too-large", "not-tls"];

function redirectTarget({ headers }: HttpAnswer, from: URL): URL | undefined {
  const location = headers.get("location");
  const next = location === null ? null : URL.parse(location, from.href);
  if (next?.protocol !== "https:" && next?.protocol !== "http:") return undefined;
  next.hash = "";
  return next;
}

const hasCors = ({ headers }: HttpAnswer) => headers.has("access-control-allow-origin");

function brokenFile(body: Uint8Array, key: string, value: unknown) {
  const what = jsonObject(body) === undefined ? "no JSON object" : `no usable ${key}`;
  const shown = typeof value === "string" ? `: ${JSON.stringify(value.slice(0, 80))}` : "";
  return { state: "broken" as const, problem: `it contains ${what}${shown}` };
}

export function jsonObject(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    return asObject(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)));
  } catch {
    return undefined;
  }
}

export const asObject = (value: unknown) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;

const isWebAddress = (text: string) => /^https?:$/.test(URL.parse(text)?.protocol ?? "");
