import type { Finding } from "../../report/finding.ts";
import { jsonOf } from "../../system/http/ask.ts";
import type { Http } from "../../system/http/http.ts";
import { publishedKeys } from "../signing-key/published.ts";

export interface Questions {
  /** Where clients would ask. */
  readonly url: string;
  /** Where other servers might, as clients' listener need not show the key; in order. */
  readonly keyUrls: readonly string[];
  readonly serverName: string;
  /** A token from before the move, if somebody gave one. */
  readonly token: string | undefined;
}

export interface Answers {
  readonly findings: readonly Finding[];
  /** Key id → public key, as the server publishes them. */
  readonly published: Readonly<Record<string, string>>;
}

/** Asks a server that has just been started who it is. */
export async function askServer(
  { url, keyUrls, serverName, token }: Questions,
  asked: { http: Http; signal: AbortSignal },
): Promise<Answers> {
  const { http } = asked;
  const findings = [await versions(url, http)];
  const shown = await publishedKeys([url, ...keyUrls.filter((one) => one !== url)], asked);
  findings.push(
    shown?.serverName === serverName
      ? fine("answers-name", `it calls itself ${serverName}`)
      : wrong("answers-name", `it calls itself ${shown?.serverName ?? "nothing"}, not ${serverName}`),
  );
  const unproven = shown?.unproven ?? [];
  if (unproven.length > 0)
    findings.push(
      wrong("answers-signed", `what it says of its keys is not signed with ${unproven.join(", ")}`),
    );
  if (token !== undefined) findings.push(await whoami(url, token, http));
  const published = shown?.keys.map(({ id, publicKey }) => [id, publicKey] as const) ?? [];
  return { findings, published: Object.fromEntries(published) };
}

async function versions(url: string, http: Http): Promise<Finding> {
  const spoken = await json(http, `${url}/_matrix/client/versions`);
  const list = (spoken.body as { versions?: unknown } | undefined)?.versions;
  const federation = await json(http, `${url}/_matrix/federation/v1/version`);
  const said = (federation.body as { server?: { name?: string; version?: string } } | undefined)?.server;
  if (!Array.isArray(list))
    return wrong(
      "answers",
      `${url} does not say which versions of Matrix it speaks (status ${spoken.status})`,
    );
  const name = said?.version === undefined ? "a homeserver" : `${said.name ?? "a server"} ${said.version}`;
  return fine("answers", `${url} answers as ${name}, and speaks Matrix up to ${String(list.at(-1))}`);
}

async function whoami(url: string, token: string, http: Http): Promise<Finding> {
  const answer = await json(http, `${url}/_matrix/client/v3/account/whoami`, {
    authorization: `Bearer ${token}`,
  });
  const user = (answer.body as { user_id?: string } | undefined)?.user_id;
  return answer.status === 200 && user !== undefined
    ? fine("old-session", `the session from before the move still belongs to ${user}`)
    : wrong("old-session", `the session from before the move is not accepted (status ${answer.status})`);
}

async function json(
  http: Http,
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  const answer = await http.get(url, { headers }).catch(() => undefined);
  return { status: answer?.status ?? 0, body: jsonOf(answer) };
}

const fine = (id: string, sentence: string): Finding => ({ id, level: "ok", sentence });

const wrong = (id: string, sentence: string): Finding => ({
  id,
  level: "blocker",
  sentence,
  hint: "do not let anybody reach it; look at its log and its configuration",
});
