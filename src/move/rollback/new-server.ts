import { MigrationError, unlessUnreadable } from "../../errors.ts";
import { isFenced } from "../../homeserver/config/fence.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { packSigningKey } from "../../homeserver/signing-key/export.ts";
import type { System } from "../../system/system.ts";
import { findRecord } from "../restore/record.ts";

export interface NewPlaces {
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

/** What is known of the new server: only its own record, on this host, can show that it was not opened. */
export type NewServer =
  | { readonly state: "opened"; readonly how: string }
  | { readonly state: "closed" }
  /** With why each place that was named does not tell it, for people. */
  | { readonly state: "unknown"; readonly why: readonly string[] };

/**
 * Whether the new server was opened: by what `open` wrote down on this host, or because a server with this one's name
 * and key answers there. Nobody who answers, or somebody else, shows nothing: it may be open at another address.
 */
export async function openedElsewhere(
  { configFolder, target }: NewPlaces,
  old: OldServer,
  { files, http }: System,
): Promise<NewServer> {
  const why: string[] = [];
  const { serverName } = old;
  const record =
    configFolder === undefined ? undefined : await unlessUnreadable(() => findRecord(configFolder, files));
  const isOurs = record?.serverName === serverName && !record.rehearsal;
  if (isOurs && record.opened !== null)
    return {
      state: "opened",
      how: `${record.serverName} was opened in ${configFolder!} on ${record.opened}`,
    };
  // Written down before the fence is lifted: a run that was cut off after that has opened it, if not for long.
  if (isOurs && record.opening !== null && !(await isFenced(record.fence, files)))
    return {
      state: "opened",
      how: `an open of ${record.serverName} in ${configFolder!} was begun on ${record.opening}, and nothing there keeps it from running`,
    };
  const isClosed = isOurs && record.opening === null;
  if (configFolder !== undefined && !isClosed)
    why.push(
      isOurs
        ? `an open of ${configFolder} was begun, and its end is not written down`
        : `no restore of ${serverName} is known in ${configFolder}`,
    );
  if (target !== undefined) {
    const how = await answeredAs(target, old, { files, http });
    if (how.isSame) return { state: "opened", how: how.sentence };
    why.push(`${how.sentence}, so whether it is open is not known`);
  }
  return isClosed ? { state: "closed" } : { state: "unknown", why };
}

/** Whether a server with this one's name and key answers there, for people. */
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
  const own = homeserver && (await unlessUnreadable(() => packSigningKey(homeserver, files)));
  // Whoever has this name at the address that was given is the new server, unless its key says otherwise.
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

/** Throws `already-opened`: what people wrote on the new server is not on the old one. */
export function refuseOpened(how: string): never {
  throw new MigrationError("already-opened", `the new server is open already: ${how}`, {
    hint: "there is no going back without losing what was written there since; to do it all the same, and with the new server stopped for good: --force",
  });
}
