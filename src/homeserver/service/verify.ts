import type { Finding } from "../../report/finding.ts";
import type { Http } from "../../system/http.ts";
import { jsonOf } from "../ask-server.ts";

export interface Questions {
  readonly url: string;
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
export async function askServer({ url, serverName, token }: Questions, http: Http): Promise<Answers> {
  const findings: Finding[] = [];
  const version = await json(http, `${url}/_matrix/federation/v1/version`);
  const said = (version.body as { server?: { name?: string; version?: string } } | undefined)?.server;
  findings.push(
    said?.version === undefined
      ? wrong("answers", `${url} does not say which version it is (status ${version.status})`)
      : fine("answers", `${url} answers as ${said.name ?? "a server"} ${said.version}`),
  );
  const key = await json(http, `${url}/_matrix/key/v2/server`);
  const shown = key.body as
    { server_name?: string; verify_keys?: Record<string, { key?: string }> } | undefined;
  findings.push(
    shown?.server_name === serverName
      ? fine("answers-name", `it calls itself ${serverName}`)
      : wrong("answers-name", `it calls itself ${shown?.server_name ?? "nothing"}, not ${serverName}`),
  );
  if (token !== undefined) findings.push(await whoami(url, token, http));
  const published = Object.entries(shown?.verify_keys ?? {}).map(([id, value]) => [id, value.key ?? ""]);
  return { findings, published: Object.fromEntries(published) as Record<string, string> };
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
