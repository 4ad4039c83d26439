import { resolve } from "node:path";
import { z } from "zod";
import type { KeySource } from "../../bundle/opening-keys.ts";
import { MigrationError } from "../../errors.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";

/** Folders for a bundle from standard input, and for a decrypted dump that pg_restore reads. */
export const PIPE_OPTIONS = optionGroup({
  heading: "Bundles from standard input",
  options: [
    {
      flags: "--spool <folder>",
      about:
        "with -: folder for the encrypted bundle until it is restored. The folder with .clear appended holds the decrypted dump of a bundle with --db-format custom during the restore",
      default: "next to the media store",
    },
  ],
  schema: { spool: z.string().min(1).optional() },
  /** The folder, absolute. */
  read: (
    { spool },
    { mediaDir }: { readonly mediaDir: string },
    { machine }: Pick<System, "machine">,
  ): string => resolve(machine.folder, spool ?? `${mediaDir}.spool`),
});

/** Throws `bad-usage` for errors that would otherwise be found only after the whole bundle was received. */
export function assertCanReadPipe(
  { file, descriptor, command, gpgHome }: KeySource,
  { terminal }: Pick<System, "terminal">,
): void {
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
}

const usage = (sentence: string, hint: string) => new MigrationError("bad-usage", sentence, { hint });
