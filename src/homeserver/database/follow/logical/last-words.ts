import { isAbsolute, join } from "node:path";
import { tryRead } from "../../../../errors.ts";
import type { Files } from "../../../../system/files/files.ts";
import type { QuerySession } from "../../../../system/query.ts";

/** Bytes at the end of a log that are looked at. */
const TAIL = 256 * 1024;

/**
 * What the server last wrote into its log about a subscription's worker, for people: nothing is decided by it. Only its first sentence, as
 * those that follow quote rows, and in it nothing in quotation marks but names of this database. Undefined where the log is not found,
 * or is not in English. `session` is a superuser's, on this host.
 */
export async function lastWords(
  session: QuerySession,
  files: Pick<Files, "read" | "real" | "stat" | "readText">,
): Promise<string | undefined> {
  const path = await logPath(session, files);
  const size = path === undefined ? undefined : (await tryRead(() => files.stat(path)))?.size;
  if (path === undefined || size === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  const read = await tryRead(async () => {
    for await (const chunk of files.read(path, { from: Math.max(0, size - TAIL), to: size }))
      chunks.push(chunk.slice());
    return true;
  });
  if (!read) return undefined;
  const names = await session.all<{ name: string }>(
    `SELECT relname::text AS name FROM pg_class UNION SELECT nspname FROM pg_namespace
     UNION SELECT attname FROM pg_attribute WHERE attnum > 0 UNION SELECT conname FROM pg_constraint
     UNION SELECT subname FROM pg_subscription UNION SELECT subslotname FROM pg_subscription WHERE subslotname IS NOT NULL`,
  );
  return wordsIn(Buffer.concat(chunks).toString("utf8"), new Set(names.map(({ name }) => name)));
}

/** PostgreSQL's own log where it collects one; else where its standard error leads, as with Debian's clusters. */
async function logPath(
  session: QuerySession,
  files: Pick<Files, "real" | "readText">,
): Promise<string | undefined> {
  const { collected, data } = await session.one<{ collected: string | null; data: string }>(
    "SELECT pg_current_logfile('stderr') AS collected, current_setting('data_directory') AS data",
  );
  if (collected !== null) return isAbsolute(collected) ? collected : join(data, collected);
  return tryRead(async () => {
    const [pid = ""] = (await files.readText(join(data, "postmaster.pid"))).split("\n");
    return files.real(`/proc/${pid.trim()}/fd/2`);
  });
}

/** The last error whose CONTEXT says that a change was being applied. */
export function wordsIn(log: string, names: ReadonlySet<string>): string | undefined {
  const lines = log.split("\n");
  const context = lines.findLastIndex((line) => APPLYING.test(line));
  const error = context === -1 ? -1 : lines.slice(0, context).findLastIndex((line) => ERROR.test(line));
  if (error === -1 || context - error > MOST_LINES) return undefined;
  const sentence = ERROR.exec(lines[error]!)?.[1] ?? "";
  return sentence.replaceAll(QUOTED, (quoted, content: string) =>
    content.split(".").every((one) => names.has(one.replaceAll(/^"|"$/g, ""))) ? quoted : '"…"',
  );
}

const ERROR = /(?:^|\s)ERROR:\s{1,2}(.*)$/;
const APPLYING = /CONTEXT:\s{1,2}processing remote data /;
const QUOTED = /"((?:[^"]|"")*)"/g;

/** DETAIL, HINT and the like may stand between the two. */
const MOST_LINES = 20;
