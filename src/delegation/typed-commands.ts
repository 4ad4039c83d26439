import { formatShellCommand, quoteShellWord } from "../system/shell-quoting.ts";
import type { PublicKey } from "./signed-json.ts";

/** How others will find the homeserver, as far as it is known. */
export interface KnownAddress {
  readonly serverName: string;
  readonly clientUrl: string | undefined;
  /** As `m.server` names it. */
  readonly federation: string | undefined;
}

/** The command that checks the address until everything is as expected, to be typed. */
export const checkCommand = (known: KnownAddress & { readonly keys: readonly PublicKey[] }): string =>
  formatShellCommand([
    ...["synlift", "delegation", "check", quoteShellWord(known.serverName)],
    ...addressOptions(known),
    ...known.keys.flatMap(({ id, publicKey }) => ["--signing-key", quoteShellWord(`${id} ${publicKey}`)]),
    ...["--watch", "2h"],
  ]);

/** The command that writes what the change of the address needs. */
export const filesCommand = (
  known: KnownAddress & { readonly clientUrl: string; readonly federation: string },
  { when, address }: { readonly when: string | undefined; readonly address: string },
): string =>
  formatShellCommand([
    ...["synlift", "delegation", "files", quoteShellWord(known.serverName)],
    ...addressOptions(known),
    ...["--address", quoteShellWord(address)],
    ...(when === undefined ? [] : ["--when", quoteShellWord(when)]),
    ...["--out", "/root/delegation"],
  ]);

const addressOptions = ({ clientUrl, federation }: KnownAddress): string[] => [
  ...(clientUrl === undefined ? [] : ["--client-url", quoteShellWord(clientUrl)]),
  ...(federation === undefined ? [] : ["--federation", quoteShellWord(federation)]),
];
