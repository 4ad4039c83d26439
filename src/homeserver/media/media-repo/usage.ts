import { z } from "zod";
import type { Finding } from "../../../report/finding.ts";
import { formatAmount, formatBytes } from "../../../report/units.ts";
import type { Http, HttpAnswer } from "../../../system/http/http.ts";
import { NoAnswer } from "../../../system/http/no-answer.ts";
import { quoteShellWord } from "../../../system/shell-quoting.ts";
import type { MediaRepoUsage } from "../facts.ts";

/** A matrix-media-repo that stores this server's media instead of Synapse. */
export interface MediaRepo {
  /** Where it can be reached from here: "http://localhost:8000". */
  readonly url: string;
  /** Of one of its `admins`, or its shared secret. Never shown. */
  readonly token: string;
}

/** Milliseconds. */
const TIMEOUT = 10_000;

/** More is no answer of its. */
const LIMIT = 64 * 1024;

/** A name that can stand in a Host header. */
export const HOST = /^[A-Za-z0-9.:[\]-]+$/;

const amounts = z.object({ media: z.int().nonnegative(), thumbnails: z.int().nonnegative() });
const usageSchema = z.object({ raw_bytes: amounts, raw_counts: amounts });

/**
 * Asks a matrix-media-repo how much it holds of a server (its docs/admin.md, "Per-server usage"). Whatever goes wrong
 * is a finding. Throws only when the run is to stop.
 */
export async function askMediaRepo(
  { url, token }: MediaRepo,
  serverName: string,
  http: Http,
  signal: AbortSignal,
): Promise<{ finding: Finding; usage: MediaRepoUsage | null }> {
  const base = URL.canParse(url) ? new URL(url) : undefined;
  if (!base || !/^https?:$/.test(base.protocol))
    return failed("the address given for matrix-media-repo", "is no http or https URL");
  const where = describeMediaRepo(base);
  if (!/^[\x21-\x7e]+$/.test(token))
    return failed(where, "was not queried: the access token is empty or has invalid characters");
  const path = `/_matrix/media/unstable/admin/usage/${encodeURIComponent(serverName)}`;
  const ask = (host: Readonly<Record<string, string>>) =>
    http.get(`${base.origin}${base.pathname.replace(/\/$/, "")}${path}`, {
      headers: { authorization: `Bearer ${token}`, ...host },
      timeout: TIMEOUT,
      limit: LIMIT,
      signal,
    });
  try {
    let answer = await ask({});
    // It serves the names in its configuration alone, and goes by the Host header (its api/_routers).
    if (answer.status === 502 && HOST.test(serverName)) answer = await ask({ host: serverName });
    const usage = answer.status === 200 ? usageIn(answer) : undefined;
    if (!usage) return failed(where, ...describeFault(answer, serverName));
    return { usage, finding: usageFinding(where, usage, serverName) };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return failed(where, `gave no answer: ${error.message}`);
  }
}

/** For people, without what might be a password in it. */
export const describeMediaRepo = ({ origin, pathname }: URL): string =>
  `matrix-media-repo at ${origin}${pathname.replace(/\/$/, "")}`;

/** Undefined when the answer says nothing of that. */
export function usageIn({ body }: HttpAnswer): MediaRepoUsage | undefined {
  try {
    const { raw_bytes: bytes, raw_counts: counts } = usageSchema.parse(
      JSON.parse(new TextDecoder().decode(body)),
    );
    return {
      media: { files: counts.media, bytes: bytes.media },
      thumbnails: { files: counts.thumbnails, bytes: bytes.thumbnails },
    };
  } catch {
    return undefined;
  }
}

/** What an answer means that is not what was asked for, and what to do. */
export function describeFault({ status }: Pick<HttpAnswer, "status">, serverName: string): [string, string] {
  switch (status) {
    case 200:
      return ["returned an unexpected response", "check the URL: is it a matrix-media-repo?"];
    case 401:
    case 403:
      return [
        "refused the access token",
        "it takes the token of a user listed under `admins` in its configuration, or its shared secret; that alone while the homeserver is stopped",
      ];
    case 404:
      return ["does not have this endpoint", "check the URL: is it a matrix-media-repo?"];
    case 502:
      return [
        `does not serve ${serverName}`,
        "check `homeservers` in its configuration, and that the URL reaches it directly, without a proxy",
      ];
    default:
      return [
        `answered with status ${status}`,
        "its log says more; check the URL, which must reach it directly, without a proxy",
      ];
  }
}

const failed = (where: string, what: string, hint = "check the URL and the token, then plan again") => ({
  usage: null,
  finding: { id: "media-repo", level: "warning" as const, sentence: `${where} ${what}`, hint },
});

const usageFinding = (where: string, { media, thumbnails }: MediaRepoUsage, serverName: string): Finding => ({
  id: "media-repo",
  level: "note",
  sentence: `${where} holds ${formatAmount(media.files, "files")} of ${serverName}, ${formatBytes(media.bytes)}`,
  evidence: [
    `thumbnails: ${formatAmount(thumbnails.files, "files")}, ${formatBytes(thumbnails.bytes)}; what is stored once may be counted several times`,
  ],
  hint: `a bundle does not hold them: synlift media export --media-repo … --server ${quoteShellWord(serverName)} fetches them for restore --media-archive`,
});
