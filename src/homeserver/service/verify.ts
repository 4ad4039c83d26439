import type { Finding } from "../../report/finding.ts";
import { jsonOf } from "../../system/http/ask.ts";
import type { Http } from "../../system/http/http.ts";
import { publishedKeys } from "../signing-key/published.ts";

export interface Questions {
  /** Base address for clients. */
  readonly url: string;
  /** Addresses to try for the server key, in order: the client listener need not publish it. */
  readonly keyUrls: readonly string[];
  readonly serverName: string;
  /** An access token from before the move, if given. */
  readonly token: string | undefined;
}

export interface Answers {
  readonly findings: readonly Finding[];
  /** Key id → public key, as the server publishes them. */
  readonly published: Readonly<Record<string, string>>;
}

/** Checks the identity of a server that has just been started. */
export async function askServer(
  { url, keyUrls, serverName, token }: Questions,
  asked: { http: Http; signal: AbortSignal },
): Promise<Answers> {
  const { http } = asked;
  const findings = [await versions(url, http)];
  const shown = await publishedKeys([url, ...keyUrls.filter((one) => one !== url)], asked);
  findings.push(
    shown?.serverName === serverName
      ? passed("answers-name", `its server name is ${serverName}`)
      : failed(
          "answers-name",
          `its server name is ${shown?.serverName ?? "not published"}, not ${serverName}`,
        ),
  );
  const unproven = shown?.unverified ?? [];
  if (unproven.length > 0)
    findings.push(failed("answers-signed", `its published keys are not signed with ${unproven.join(", ")}`));
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
    return failed(
      "answers",
      `${url} does not report which versions of Matrix it supports (status ${spoken.status})`,
    );
  const name = said?.version === undefined ? "a homeserver" : `${said.name ?? "a server"} ${said.version}`;
  return passed("answers", `${url} answers as ${name}, and supports Matrix up to ${String(list.at(-1))}`);
}

async function whoami(url: string, token: string, http: Http): Promise<Finding> {
  const answer = await json(http, `${url}/_matrix/client/v3/account/whoami`, {
    authorization: `Bearer ${token}`,
  });
  const user = (answer.body as { user_id?: string } | undefined)?.user_id;
  return answer.status === 200 && user !== undefined
    ? passed("old-session", `the session from before the move still belongs to ${user}`)
    : failed("old-session", `the session from before the move is not accepted (status ${answer.status})`);
}

async function json(
  http: Http,
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  const answer = await http.get(url, { headers }).catch(() => undefined);
  return { status: answer?.status ?? 0, body: jsonOf(answer) };
}

const passed = (id: string, sentence: string): Finding => ({ id, level: "ok", sentence });

const failed = (id: string, sentence: string): Finding => ({
  id,
  level: "blocker",
  sentence,
  hint: "keep it unreachable; check its log and its configuration",
});
