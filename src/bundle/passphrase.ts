import { dirname } from "node:path";
import { MigrationError } from "../errors.ts";
import type { System } from "../system/system.ts";

/** Where the passphrase is to come from. At most one; never the command line itself, which everybody can read. */
export interface PassphraseSource {
  readonly file?: string | undefined;
  /** A file descriptor that we inherited. */
  readonly descriptor?: number | undefined;
  /** A command whose first line of output it is. */
  readonly command?: string | undefined;
}

/** The passphrase, from the source named, else by asking. Throws `bad-usage`, `passphrase-unusable`. */
export async function readPassphrase(source: PassphraseSource, system: System): Promise<string> {
  const given = await fromSource(source, system);
  if (given !== undefined) return given;
  if (!system.terminal.interactive) {
    throw new MigrationError("bad-usage", "the passphrase of the bundle must be given", {
      hint: "use --passphrase-file, --passphrase-fd or --passphrase-command, or run this in a terminal to be asked",
    });
  }
  return usable(await system.terminal.askSecret("Passphrase of the bundle"), "what you typed");
}

/** The passphrase from the source named; undefined when none was. */
export async function fromSource(
  { file, descriptor, command }: PassphraseSource,
  { files, programs, signal }: System,
): Promise<string | undefined> {
  const given = [file, descriptor, command].filter((source) => source !== undefined);
  if (given.length > 1) {
    throw new MigrationError("bad-usage", "the passphrase is given in more than one way", {
      hint: "choose one of --passphrase-file, --passphrase-fd and --passphrase-command",
    });
  }
  if (file !== undefined) return usable(await files.readText(file), file);
  if (descriptor !== undefined)
    return usable(await files.readDescriptor(descriptor, signal), `file descriptor ${descriptor}`);
  if (command !== undefined)
    return usable(await programs.run({ name: "sh", args: ["-c", command] }), "the passphrase command");
  return undefined;
}

/** What can be typed at the prompt of gpg's agent (gnupg, agent/agent.h, MAX_PASSPHRASE_LEN): somebody may have to open it by hand. */
const LIMIT = 255;

function usable(text: string, origin: string): string {
  const passphrase = text.replace(/\r?\n$/, "");
  const unusable = (why: string) =>
    new MigrationError("passphrase-unusable", `${origin}: the passphrase ${why}`, {
      hint: "a passphrase is one line of text; leave the option out to have one of 64 characters made",
    });
  if (passphrase === "") throw unusable("is empty");
  if (/[\n\r\0]/.test(passphrase)) throw unusable("has more than one line");
  if (Buffer.byteLength(passphrase) > LIMIT) throw unusable(`is longer than ${LIMIT} bytes`);
  return passphrase;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** 64 letters and digits: some 381 bits. */
export function makePassphrase(random: (bytes: number) => Uint8Array): string {
  let made = "";
  while (made.length < 64) {
    // 248 is the largest multiple of 62 in a byte: what lies above would favour some letters.
    for (const byte of random(128)) if (byte < 248 && made.length < 64) made += LETTERS[byte % 62]!;
  }
  return made;
}

/** Where a passphrase that we make is written: beside the bundle's folder, never in it. */
export const passphraseFileOf = (folder: string) => `${folder}.passphrase`;

/**
 * The passphrase for a bundle that is being made: from the source named, else the one made in an earlier run of the
 * same bundle, else a new one, written to a file of its own (0600) and shown once where a person can see it.
 */
export async function passphraseFor(
  folder: string,
  source: PassphraseSource,
  system: System,
  note: (sentence: string) => void,
): Promise<string> {
  const given = await fromSource(source, system);
  if (given !== undefined) return given;
  const path = passphraseFileOf(folder);
  if (await system.files.look(path)) {
    note(`the passphrase is the one in ${path}`);
    return usable(await system.files.readText(path), path);
  }
  const made = makePassphrase((bytes) => system.machine.random(bytes));
  await system.files.makeFolder(dirname(path));
  await system.files.writeWhole(path, `${made}\n`);
  note(`a passphrase was made and written to ${path}: keep it, and send it by another road than the bundle`);
  // Only to a person's eyes: elsewhere standard error may be a log.
  if (system.terminal.drawable) system.terminal.err(`passphrase: ${made}\n`);
  return made;
}
