import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { type keySchema, keySource } from "./shared.ts";

/** Folders for a bundle from standard input, and for a decrypted dump that pg_restore reads. */
export const PIPE_OPTIONS: readonly Option[] = [
  {
    flags: "--spool <folder>",
    about:
      "with -: folder for the encrypted bundle until it is restored; default: next to the media store. The folder with .clear appended holds the decrypted dump of a bundle with --db-format custom during the restore",
  },
];

export const pipeSchema = { spool: z.string().min(1).optional() };

type Given = z.infer<z.ZodObject<typeof pipeSchema & typeof keySchema>> & {
  readonly argument?: string | undefined;
};

/**
 * The folder for a bundle from standard input; undefined for other sources. Throws `bad-usage` for errors that would
 * otherwise be found only after the whole bundle was received.
 */
export function pipeFolderOf(
  given: Given,
  { mediaDir }: { readonly mediaDir: string },
  { machine, terminal }: Pick<System, "machine" | "terminal">,
): string | undefined {
  if (given.argument !== "-") {
    if (given.spool === undefined || given.argument !== undefined) return undefined;
    throw usage("--spool requires a bundle, and --from transfers none", "leave it out");
  }
  const { file, descriptor, command, gpgHome } = keySource(given);
  if (terminal.interactive)
    throw usage(
      "the bundle is read from standard input, but that is a terminal",
      "ssh old tar -C /srv -cf - move | synlift restore - …",
    );
  if (descriptor === 0)
    throw usage(
      "the bundle is read from standard input, so the passphrase cannot be",
      "use --passphrase-file, --passphrase-command, or another descriptor",
    );
  if (file === undefined && descriptor === undefined && command === undefined && gpgHome === undefined)
    throw usage(
      "the passphrase of the bundle must be given, because it cannot be asked for",
      "use --passphrase-file, --passphrase-fd or --passphrase-command; or --gpg-home for a recipient's key",
    );
  return spoolIn(given, mediaDir, machine);
}

/** Folder of the decrypted dump while pg_restore reads it. */
export const plainDumpFolder = (
  given: Pick<Given, "spool">,
  { mediaDir }: { readonly mediaDir: string },
  { machine }: Pick<System, "machine">,
): string => `${spoolIn(given, mediaDir, machine)}.clear`;

const spoolIn = ({ spool }: Pick<Given, "spool">, mediaDir: string, { folder }: System["machine"]) =>
  resolve(folder, spool ?? `${mediaDir}.spool`);

const usage = (sentence: string, hint: string) => new MigrationError("bad-usage", sentence, { hint });
