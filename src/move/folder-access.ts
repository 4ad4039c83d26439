import { dirname, resolve } from "node:path";
import { tryRead } from "../errors.ts";
import { logFilesIn } from "../homeserver/config/log-config.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import type { Finding } from "../report/finding.ts";
import { formatMode } from "../report/units.ts";
import { type Access, deniedTo } from "../system/files/access.ts";
import type { Account } from "../system/machine.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { System } from "../system/system.ts";

const SHOWN = 20;

/** The account that will run Synapse, and what belongs to it. */
interface Needs {
  readonly account: Account;
  readonly wanted: readonly Access[];
  /** Folders that are Synapse's own, with all in them. Absolute. */
  readonly own: readonly string[];
}

/**
 * Whether the account can enter every folder on the way to its files, and read and write what it has to. The account itself is asked, so
 * that whatever counts for it counts here. No finding where nobody but root could ask. Changes nothing.
 */
export async function folderAccess(
  { account, wanted, own }: Needs,
  ifDenied: "blocker" | "warning",
  system: Pick<System, "files" | "machine" | "programs">,
): Promise<Finding[]> {
  const id = "folder-access";
  const denied = await tryRead(() => deniedTo(account, wanted, system));
  if (denied === undefined) return [];
  const { name } = account;
  if (denied.length === 0)
    return [{ id, level: "ok", sentence: `${name} can enter every folder on the way to the server's files` }];
  const evidence: string[] = [];
  const commands: string[] = [];
  for (const { path, needs } of denied) {
    const found = await system.files.stat(path);
    commands.push(
      found
        ? mending(path, needs, account, own)
        : `install -d -m 0750 -o ${quoteShellWord(name)} ${quoteShellWord(path)}`,
    );
    const what = needs === "enter" ? "enter" : needs === "read" ? "read" : "write to";
    evidence.push(
      found
        ? `${name} cannot ${what} ${path}: it belongs to user id ${found.uid} and has mode ${formatMode(found.mode)}`
        : `${path} does not exist`,
    );
  }
  return [
    {
      id,
      level: ifDenied,
      sentence: `${name}, which runs Synapse, cannot get at the server's files: ${denied.map(({ path }) => path).join(", ")}`,
      evidence: evidence.slice(0, SHOWN),
      hint: `let it, or restore into other folders: ${[...new Set(commands)].join("; ")}`,
    },
  ];
}

/** What a person would type. */
function mending(path: string, needs: Access["needs"], { name }: Account, own: readonly string[]): string {
  const word = quoteShellWord(path);
  if (own.some((folder) => path === folder || path.startsWith(`${folder}/`)))
    return `chown ${quoteShellWord(name)}: ${word}`;
  // Of a folder of somebody else no more than that: its content stays hidden.
  if (needs === "enter") return `chmod o+x ${word}`;
  return `setfacl -m u:${quoteShellWord(name)}:${needs === "read" ? "r" : "rwx"} ${word}`;
}

/** What a restored server needs of its folders. Of files that were restored, owner and mode are looked at elsewhere. */
export async function accessOf(
  homeserver: Homeserver,
  /** Where its configuration was restored, and what Synapse will be given with `-c`. */
  { folder, configPaths }: { readonly folder: string; readonly configPaths: readonly string[] },
  { files }: Pick<System, "files">,
): Promise<Access[]> {
  const { signingKey, database, mediaStore, referenced, listeners, workingFolder } = homeserver;
  const wanted: Access[] = [];
  const enter = (path: string) => wanted.push({ path, needs: "enter" });
  for (const path of [folder, ...configPaths.map((one) => one.replace(/\/$/, ""))])
    if ((await files.stat(path))?.kind === "folder")
      wanted.push({ path, needs: "read" }, { path, needs: "enter" });
    else enter(dirname(path));
  if (signingKey.kind === "file") enter(dirname(signingKey.path));
  if (database.kind === "sqlite") enter(dirname(database.path));
  if (await files.stat(mediaStore)) enter(mediaStore);
  // Synapse reads certificates for a listener with TLS only (synapse/config/tls.py, `read_tls_certificate`).
  const isUsed = ({ role }: Homeserver["referenced"][number]) =>
    role !== "tls" || listeners.some(({ tls }) => tls);
  for (const { path } of referenced.filter(isUsed)) {
    const found = await files.stat(path);
    if (!found) continue;
    enter(found.kind === "folder" ? path : dirname(path));
    if (!path.startsWith(`${folder}/`)) wanted.push({ path, needs: "read" });
  }
  for (const { path } of referenced.filter(({ role }) => role === "log-config")) {
    const text = (await tryRead(() => files.readText(path))) ?? "";
    for (const log of logFilesIn(text).map((name) => resolve(workingFolder, name))) {
      // /dev/stdout is another file for each process.
      if (/^\/(?:dev|proc)\//.test(log)) continue;
      enter(dirname(log));
      wanted.push({ path: (await files.stat(log)) ? log : dirname(log), needs: "write" });
    }
  }
  return wanted;
}
