import { discoverServer } from "../discovery.ts";
import { type LookupContext, reachableAddresses } from "../fetch.ts";
import { type KeyAnswer, readKeyAnswer } from "../key-answer.ts";
import { parseServerName } from "../server-name.ts";
import { asObject } from "../well-known.ts";
import { type Asked, attempt, getJson, type Place, postJson, refine } from "./observe.ts";

/** What another server says of the keys. */
export interface NotarySeen {
  readonly notary: string;
  readonly keys: Asked<KeyAnswer>;
}

/** Asks another server for the keys that it knows of this one: `/_matrix/key/v2/query`. */
export async function askNotary(
  notary: string,
  serverName: string,
  asking: LookupContext,
): Promise<NotarySeen> {
  const name = parseServerName(notary);
  if (!name) return { notary, keys: { problem: "it is not a valid server name" } };
  // A person gave its name, so it may be in this network.
  const own = {
    ...asking,
    followPrivate: (host: string) => host === name.host || asking.followPrivate(host),
  };
  const { endpoint, steps } = await discoverServer(name, own);
  if (!endpoint) return { notary, keys: { problem: steps.at(-1)?.answer ?? "it cannot be found" } };
  let keys: Asked<KeyAnswer> = { problem: "it has no address" };
  for (const { host, port } of endpoint.targets) {
    for (const { address } of (await reachableAddresses(host, own)).addresses) {
      const url = `https://${endpoint.hostHeader}/_matrix/key/v2/query/${encodeURIComponent(serverName)}`;
      const headers = { host: endpoint.hostHeader };
      const asked = await attempt(() => getJson(url, { place: { host, address, port }, headers }, asking));
      keys = refine(asked, (body) => keysOf(body, serverName), "does not know the keys of this server");
      if (keys.value !== undefined) return { notary, keys };
    }
  }
  return { notary, keys };
}

/** The newest of the answers that a notary passes on. */
function keysOf(body: Readonly<Record<string, unknown>>, serverName: string): KeyAnswer | undefined {
  const given = Array.isArray(body["server_keys"]) ? (body["server_keys"] as unknown[]) : [];
  return given
    .flatMap((one) => readKeyAnswer(asObject(one)) ?? [])
    .filter((answer) => answer.serverName === serverName)
    .sort((a, b) => (b.validUntil ?? 0) - (a.validUntil ?? 0))[0];
}

/** What a login answers; the login is ended at once. */
export interface LoginSeen {
  /** `well_known.m.homeserver.base_url`; null when the answer has none. */
  readonly baseUrl: Asked<string | null>;
  /** The device of this login could not be removed again. */
  readonly leftBehind: boolean;
}

/** Logs in and out again, to see which base URL clients are told. */
export async function askLogin(
  { user, password }: { readonly user: string; readonly password: string },
  at: (Place & { readonly url: string }) | undefined,
  asking: LookupContext,
): Promise<LoginSeen> {
  if (!at) return { baseUrl: { problem: "there is no address to log in at" }, leftBehind: false };
  const { url, ...place } = at;
  const body = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password,
    initial_device_display_name: "synlift delegation check",
  };
  const asked = await postJson(`${url}/_matrix/client/v3/login`, { place, body }, asking);
  if (asked.value === undefined) return { baseUrl: asked, leftBehind: false };
  const { status } = asked.value.answer;
  const token = asked.value.body?.["access_token"];
  if (status !== 200 || typeof token !== "string") {
    const code = asked.value.body?.["errcode"];
    const said = typeof code === "string" && /^[\w.]+$/.test(code) ? `, ${code}` : "";
    return { baseUrl: { problem: `the login was refused (status ${status}${said})` }, leftBehind: false };
  }
  const told = asObject(asObject(asked.value.body?.["well_known"])?.["m.homeserver"])?.["base_url"];
  const headers = { authorization: `Bearer ${token}` };
  const out = await postJson(`${url}/_matrix/client/v3/logout`, { place, headers, body: {} }, asking);
  return {
    baseUrl: { value: typeof told === "string" ? told : null },
    leftBehind: out.value?.answer.status !== 200,
  };
}
