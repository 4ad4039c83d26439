import { MigrationError } from "../errors.ts";
import type { System } from "../system/system.ts";
import type { Homeserver } from "./homeserver.ts";
import { findRecord } from "./record.ts";
import { packSigningKey } from "./signing-key/export.ts";

export interface NewPlaces {
  /** A folder given to restore on this very host. */
  readonly configFolder: string | undefined;
  /** Base address at which the new server would answer. */
  readonly target: string | undefined;
}

/**
 * How it is known that the new server was opened: by what `open` wrote down on this host, or because a server with this
 * one's name and key answers there. Undefined when nothing shows it, as when nobody answers there.
 */
export async function openedElsewhere(
  { configFolder, target }: NewPlaces,
  homeserver: Homeserver,
  { files, http }: System,
): Promise<string | undefined> {
  const record = configFolder === undefined ? undefined : await findRecord(configFolder, files);
  if (record && record.serverName === homeserver.serverName && !record.rehearsal && record.opened !== null)
    return `${record.serverName} was opened in ${configFolder!} on ${record.opened}`;
  if (target === undefined) return undefined;
  const answer = await http
    .get(`${target.replace(/\/+$/, "")}/_matrix/key/v2/server`, { timeout: 10_000 })
    .catch(() => undefined);
  if (answer?.status !== 200) return undefined;
  const said = parsed(answer.body);
  if (said?.server_name !== homeserver.serverName) return undefined;
  const { keys } = await packSigningKey(homeserver, files);
  const published = Object.entries(said.verify_keys ?? {});
  const same = keys.some(({ id, publicKey }) =>
    published.some(([name, { key }]) => name === id && key === publicKey),
  );
  return same ? `${target} answers as ${homeserver.serverName} with its signing key` : undefined;
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
