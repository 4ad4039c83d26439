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

/** The server file, and its `m.server` if it is valid. */
export async function fetchServerFile(
  { host }: ServerName,
  asking: LookupContext,
): Promise<{ readonly fact: WellKnownFact; readonly delegated?: ServerName }> {
  const { fact, answer } = await fetchFile(`https://${host}/.well-known/matrix/server`, asking);
  if (!answer) return { fact };
  const cacheSeconds = serverFileSeconds(answer.headers, asking.now());
  const value = jsonObject(answer.body)?.["m.server"];
  // Python's JSON parser rejects a byte order mark, which browsers ignore.
  if (Buffer.from(answer.body.subarray(0, 3)).toString("hex") === "efbbbf")
    return { fact: { ...fact, state: "broken", problem: "it begins with a byte order mark" } };
  const delegated = typeof value === "string" ? parseServerName(value) : undefined;
  if (!delegated) return { fact: { ...fact, ...brokenFile(answer.body, "m.server", value) } };
  return { fact: { ...fact, state: "valid", value: delegated.text, cacheSeconds }, delegated };
}

/** The client file. Clients request it from the host of the server name, without the port of that name. */
export async function fetchClientFile(
  { host, family }: ServerName,
  asking: LookupContext,
): Promise<WellKnownFact> {
  const { fact, answer } = await fetchFile(
    `https://${family === 6 ? `[${host}]` : host}/.well-known/matrix/client`,
    asking,
  );
  if (!answer) return fact;
  const file = jsonObject(answer.body);
  const value = asObject(file?.["m.homeserver"])?.["base_url"];
  const more = {
    cors: fact.redirects.every(({ cors }) => cors) && hasCors(answer),
    slidingSyncProxy: file?.["org.matrix.msc3575.proxy"] !== undefined,
  };
  if (typeof value !== "string" || !isWebAddress(value))
    return { ...fact, ...more, ...brokenFile(answer.body, "m.homeserver.base_url", value) };
  const cacheSeconds = clientFileSeconds(answer.headers, asking.now());
  return { ...fact, ...more, state: "valid", value, cacheSeconds };
}

/** Follows redirects to a response with status 200; without one the fact says what happened. */
async function fetchFile(
  url: string,
  asking: LookupContext,
): Promise<{ readonly fact: WellKnownFact; readonly answer?: HttpAnswer }> {
  const redirects: { status: number; to: string; cors: boolean }[] = [];
  const addresses = new Set<string>();
  const ended = (state: WellKnownFact["state"], more: Partial<WellKnownFact>) => ({
    fact: { url, redirects, cacheControl: null, ...more, state, addresses: [...addresses] },
  });
  const seen = new Set<string>();
  for (let at = new URL(url); ;) {
    seen.add(at.href);
    const reached = await fetchFromHost(at, asking, LARGEST);
    for (const address of reached.addresses) addresses.add(address);
    if (!reached.answer) {
      const { kind, problem } = reached;
      const broken =
        kind === "certificate" || kind === "too-large" || kind === "not-tls" || redirects.length > 0;
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
    const next = redirectTarget(answer, at);
    if (!next) return ended("broken", { status, problem: "it redirects to an invalid address" });
    redirects.push({ status, to: next.href, cors: hasCors(answer) });
    if (seen.has(next.href) || redirects.length > REDIRECTS)
      return ended("broken", { status, problem: "it redirects in a loop or too often" });
    at = next;
  }
}

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
