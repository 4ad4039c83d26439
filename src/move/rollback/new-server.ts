import { MigrationError, tryRead } from "../../errors.ts";
import { isFenced } from "../../homeserver/config/fence.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { packSigningKey } from "../../homeserver/signing-key/export.ts";
import type { System } from "../../system/system.ts";
import { findRecord } from "../restore/record.ts";

export interface NewServerHints {
  /** A folder given to restore on this very host. */
  readonly configFolder: string | undefined;
  /** Base address at which the new server would answer. */
  readonly target: string | undefined;
}

export interface OldServer {
  readonly serverName: string;
  /** Undefined when its configuration cannot be read. */
  readonly homeserver: Homeserver | undefined;
}

/** The state of the new server: only its own record on this host can prove that it was not opened. */
export type NewServer =
  | { readonly state: "opened"; readonly how: string }
  | { readonly state: "closed" }
  /** With the reason, in words, why each given place does not show the state. */
  | { readonly state: "unknown"; readonly why: readonly string[] };

/**
 * Whether the new server was opened: by the record of `open` on this host, or because a server with the same name and
 * signing key answers at `target`. No answer, or another server's, proves nothing: it may be open at another address.
 */
export async function findNewServer(
  { configFolder, target }: NewServerHints,
  old: OldServer,
  { files, http }: System,
): Promise<NewServer> {
  const why: string[] = [];
  const { serverName } = old;
  const record =
    configFolder === undefined ? undefined : await tryRead(() => findRecord(configFolder, files));
  const isOurs = record?.serverName === serverName && !record.rehearsal;
  if (isOurs && record.opened !== null)
    return {
      state: "opened",
      how: `${record.serverName} was opened in ${configFolder!} on ${record.opened}`,
    };
  // Recorded before the fence is lifted: a run that was interrupted after that has opened the server.
  if (isOurs && record.opening !== null && !(await isFenced(record.fence, files)))
    return {
      state: "opened",
      how: `an open of ${record.serverName} in ${configFolder!} was started on ${record.opening}, and its fence is lifted`,
    };
  const isClosed = isOurs && record.opening === null;
  if (configFolder !== undefined && !isClosed)
    why.push(
      isOurs
        ? `an open of ${configFolder} was started and did not finish`
        : `${configFolder} has no record of a restore of ${serverName}`,
    );
  if (target !== undefined) {
    const how = await answeredAs(target, old, { files, http });
    if (how.isSame) return { state: "opened", how: how.sentence };
    why.push(`${how.sentence}, so it is unknown whether the new server is open`);
  }
  return isClosed ? { state: "closed" } : { state: "unknown", why };
}

/** Whether a server with the same name and signing key answers at `target`, and a sentence that says so. */
async function answeredAs(
  target: string,
  { serverName, homeserver }: OldServer,
  { files, http }: Pick<System, "files" | "http">,
): Promise<{ isSame: boolean; sentence: string }> {
  const not = (sentence: string) => ({ isSame: false, sentence });
  const answer = await http
    .get(`${target.replace(/\/+$/, "")}/_matrix/key/v2/server`, { timeout: 10_000 })
    .catch(() => undefined);
  if (!answer) return not(`${target} did not answer`);
  const said = answer.status === 200 ? parsed(answer.body) : undefined;
  if (said?.server_name !== serverName) return not(`${target} did not answer as ${serverName}`);
  const own = homeserver && (await tryRead(() => packSigningKey(homeserver, files)));
  // A server with this name at the given address is the new server, unless its key differs.
  if (!own)
    return {
      isSame: true,
      sentence: `${target} answers as ${serverName}, and the key of the old server cannot be read to compare`,
    };
  const { keys } = own;
  const published = Object.entries(said.verify_keys ?? {});
  const same = keys.some(({ id, publicKey }) =>
    published.some(([name, { key }]) => name === id && key === publicKey),
  );
  return same
    ? { isSame: true, sentence: `${target} answers as ${serverName} with its signing key` }
    : not(`${target} answers as ${serverName} with another signing key`);
}

interface Published {
  readonly server_name?: string;
  readonly verify_keys?: Readonly<Record<string, { readonly key?: string }>>;
}

function parsed(body: Uint8Array): Published | undefined {
  try {
    return JSON.parse(Buffer.from(body).toString()) as Published;
  } catch {
    return undefined;
  }
}

/** Throws `already-opened`: data written on the new server is not on the old one. */
export function throwAlreadyOpened(how: string): never {
  throw new MigrationError("already-opened", `the new server is already open: ${how}`, {
    hint: "a rollback loses everything written there since; to do it anyway, stop the new server permanently and use --force",
  });
}
