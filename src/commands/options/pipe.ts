import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { type keySchema, keySource } from "./shared.ts";

/** Where a bundle is kept that comes through a pipe, and where a dump lies that cannot be filled in as it comes. */
export const SPOOL_OPTIONS: readonly Option[] = [
  {
    flags: "--spool <folder>",
    about:
      "with -: where the bundle, still encrypted, is kept until it is restored; beside the media store when left out. With .clear behind it, where the dump of a bundle with --db-format custom lies in the clear while it is filled in",
  },
];

export const spoolSchema = { spool: z.string().min(1).optional() };

type Given = z.infer<z.ZodObject<typeof spoolSchema & typeof keySchema>> & {
  readonly argument?: string | undefined;
};

/**
 * The folder for a bundle that comes through standard input; undefined when it does not. Throws `bad-usage` for what
 * would be found out only after all of it has come.
 */
export function spoolOf(
  given: Given,
  { mediaDir }: { readonly mediaDir: string },
  { machine, terminal }: Pick<System, "machine" | "terminal">,
): string | undefined {
  if (given.argument !== "-") {
    if (given.spool === undefined || given.argument !== undefined) return undefined;
    throw usage("--spool is for a bundle, and what comes straight from the old host is none", "leave it out");
  }
  const { file, descriptor, command, gpgHome } = keySource(given);
  if (terminal.interactive)
    throw usage(
      "the bundle is to come through standard input, and that is a terminal",
      "ssh old tar -C /srv -cf - move | synlift restore - …",
    );
  if (descriptor === 0)
    throw usage(
      "the bundle comes through standard input: the passphrase cannot come there, too",
      "use --passphrase-file, --passphrase-command, or another descriptor",
    );
  if (file === undefined && descriptor === undefined && command === undefined && gpgHome === undefined)
    throw usage(
      "the passphrase of the bundle must be given, as nobody can be asked",
      "use --passphrase-file, --passphrase-fd or --passphrase-command; or --gpg-home for a recipient's key",
    );
  return spoolIn(given, mediaDir, machine);
}

/** Where a dump lies in the clear while pg_restore reads it. */
export const clearFolderOf = (
  given: Pick<Given, "spool">,
  { mediaDir }: { readonly mediaDir: string },
  { machine }: Pick<System, "machine">,
): string => `${spoolIn(given, mediaDir, machine)}.clear`;

const spoolIn = ({ spool }: Pick<Given, "spool">, mediaDir: string, { folder }: System["machine"]) =>
  resolve(folder, spool ?? `${mediaDir}.spool`);

const usage = (sentence: string, hint: string) => new MigrationError("bad-usage", sentence, { hint });
