import { MigrationError } from "../../../errors.ts";
import type { Http, HttpAnswer } from "../../../system/http/http.ts";
import type { Homeserver } from "../../homeserver.ts";
import { plainUrlsOf } from "../../listeners.ts";
import { settingAt } from "../../settings.ts";

/** A running Synapse that sends notices for us. */
export interface NoticeServer {
  /** Without a slash at its end. */
  readonly url: string;
  /** An administrator's access token. Never printed. */
  readonly token: string;
}

/** The account that notices come from. Throws `notices-not-sent` when there is none. */
export function noticesUser({ settings, serverName, configFiles }: Homeserver): string {
  const name = settingAt(settings, "server_notices.system_mxid_localpart");
  if (typeof name === "string" && name !== "") return `@${name}:${serverName}`;
  throw unsent(
    `server_notices.system_mxid_localpart is not set in ${configFiles.map(({ path }) => path).join(", ")}`,
    "set it, with auto_join: true beside it, and restart Synapse",
  );
}

/** The address to ask at when none is given. Throws `bad-usage` when no listener can be asked without TLS. */
export function noticesUrl({ listeners }: Homeserver): string {
  const [url] = listeners.filter(({ resources }) => resources.includes("client")).flatMap(plainUrlsOf);
  if (url !== undefined) return url;
  throw new MigrationError("bad-usage", "the configuration has no plain HTTP listener for clients", {
    hint: "say where the server answers: --url https://…",
  });
}

/**
 * Checks before the first notice whether notices can be sent. Throws `notices-not-sent` with the reason if not. Whether
 * the running server has server notices enabled is only known after sending one.
 */
export async function assertAcceptsNotices(
  server: NoticeServer,
  serverName: string,
  http: Http,
  signal: AbortSignal,
): Promise<void> {
  const ask = (path: string) => get(server, path, http, signal);
  const who = await ask("/_matrix/client/v3/account/whoami");
  const userId = fieldIn(who, "user_id");
  if (who.status === 401)
    throw unsent(
      `${server.url} does not know the access token`,
      "log in as an administrator again for a new token",
    );
  if (who.status !== 200 || typeof userId !== "string")
    throw unsent(
      `${server.url} does not answer as a homeserver does: status ${who.status}`,
      "say where Synapse answers: --url",
    );
  if (!userId.endsWith(`:${serverName}`))
    throw unsent(
      `${server.url} is not ${serverName}: it knows the token as ${userId}'s`,
      "check --url and the token",
    );
  const admin = await ask(`/_synapse/admin/v2/users/${encodeURIComponent(userId)}`);
  if (admin.status === 403)
    throw unsent(
      `the token belongs to ${userId}, who is not an administrator of ${serverName}`,
      "use the token of an administrator; UPDATE users SET admin = 1 makes one",
    );
  if (admin.status !== 200)
    throw unsent(
      `${server.url} does not let us use the admin API: status ${admin.status}`,
      "proxies often block /_synapse/admin: use Synapse's own listener with --url",
    );
}

async function get(
  { url, token }: NoticeServer,
  path: string,
  http: Http,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  try {
    return await http.get(url + path, { headers: { authorization: `Bearer ${token}` }, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw unsent(
      `${url} does not answer: ${(error as Error).message}`,
      "start Synapse, or say where it answers: --url",
    );
  }
}

/** A field of a JSON answer; undefined when it is none, or has none. */
export function fieldIn({ body }: HttpAnswer, field: string): unknown {
  try {
    const answer: unknown = JSON.parse(Buffer.from(body).toString());
    return typeof answer === "object" && answer !== null
      ? (answer as Record<string, unknown>)[field]
      : undefined;
  } catch {
    return undefined;
  }
}

const unsent = (sentence: string, hint: string) =>
  new MigrationError("notices-not-sent", `no notice was sent: ${sentence}`, { hint });
