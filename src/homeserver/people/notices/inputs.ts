import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";

/** Bytes: an event may have 64 KiB, with everything around the text. */
const LONGEST_TEXT = 32 * 1024;

/** A text that somebody wrote for others. Throws `bad-usage` when it is empty, too long or not UTF-8, `file-missing`. */
export async function readText(path: string, files: Files): Promise<string> {
  const bytes = await files.readWhole(path);
  if (bytes.length > LONGEST_TEXT)
    throw new MigrationError("bad-usage", `${path} is too long for a message: ${bytes.length} bytes`, {
      hint: `write at most ${LONGEST_TEXT} bytes`,
    });
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new MigrationError("bad-usage", `${path} is not written in UTF-8`);
  }
  if (text.trim() === "") throw new MigrationError("bad-usage", `${path} is empty: there is nothing to send`);
  return text;
}

/** An access token out of a file, never shown. Throws `bad-usage` when the file holds anything else, `file-missing`. */
export async function readToken(path: string, files: Files): Promise<string> {
  const token = new TextDecoder().decode(await files.readWhole(path, 64 * 1024)).trim();
  // What a header can carry; Synapse's tokens have far less.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new MigrationError("bad-usage", `${path} does not hold one line with an access token`, {
    hint: "log in as an administrator, copy the access token from the app's help page, and put it there alone",
  });
}

/** The address of a server, without a slash at its end. Throws `bad-usage`. */
export function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (plain && ["http:", "https:"].includes(url.protocol)) return url.href.replace(/\/+$/, "");
  throw new MigrationError("bad-usage", "--url: this is not the plain address of a server", {
    hint: "write it like http://127.0.0.1:8008",
  });
}
