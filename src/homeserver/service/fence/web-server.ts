import { MigrationError } from "../../../errors.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Programs } from "../../../system/programs/programs.ts";
import type { Change, FenceRecord } from "./record.ts";
import { parseWebServerBefore, webServerBeforeText } from "./web-server-before.ts";

/** A file that a running web server reads, and how it is told that the file changed. */
export interface WebServerFile {
  /** Absolute. */
  readonly path: string;
  /** Shell command that checks the web server's configuration. */
  readonly test: string;
  /** Shell command that has it read its configuration again. */
  readonly reload: string;
}

/** Milliseconds. */
const COMMAND_TIMEOUT = 60_000;

/** Runs the test or the reload. Throws `program-failed` with what it said last. */
export async function runForWebServer(command: string, programs: Programs): Promise<void> {
  await programs.run({ name: "sh", args: ["-c", command], timeout: COMMAND_TIMEOUT });
}

/**
 * Writes the file, has the web server check it and read it, and records the undo before. When the check, the reload or
 * `prove` fails, the file is put back as it was and read again, the record says so, and that error is thrown.
 */
export async function changeWebServer(
  file: WebServerFile,
  text: string,
  record: FenceRecord,
  { files, programs, prove }: { files: Files; programs: Programs; prove: () => Promise<void> },
): Promise<void> {
  const { path, test, reload } = file;
  const found = (await files.stat(path)) === undefined ? null : await files.readText(path);
  const before = webServerBeforeText({ text: found, test, reload });
  let isLoaded = false;
  try {
    await record.apply({ kind: "web-server", name: path, before }, async () => {
      await files.writeAtomically(path, text, 0o644);
      await runForWebServer(test, programs);
      await runForWebServer(reload, programs);
      isLoaded = true;
      await prove();
    });
  } catch (error) {
    const change = record.find("web-server", path);
    if (change) await putBack(change, error, isLoaded, { files, programs, record });
    throw error;
  }
}

async function putBack(
  change: Change,
  cause: unknown,
  isLoaded: boolean,
  { files, programs, record }: { files: Files; programs: Programs; record: FenceRecord },
): Promise<void> {
  try {
    await restoreFile(change, files);
    // Where the new file was refused, the web server goes on with what it had.
    if (isLoaded) await runForWebServer(reloadOf(change), programs);
    await record.undone(change);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    throw new MigrationError(
      "fence-failed",
      `${change.name} could not be put back as it was: ${error.message}`,
      { hint: `see to the web server at once: ${reloadOf(change)}`, cause },
    );
  }
}

/** Puts the file back as it was, and has the web server read it. May be repeated. Throws what the commands throw. */
export async function restoreWebServer(
  { name, before }: Pick<Change, "name" | "before">,
  { files, programs }: { files: Files; programs: Programs },
): Promise<void> {
  await restoreFile({ name, before }, files);
  await runForWebServer(reloadOf({ before }), programs);
}

async function restoreFile({ name, before }: Pick<Change, "name" | "before">, files: Files): Promise<void> {
  const { text } = parseWebServerBefore(before);
  if (text === null) await files.remove(name);
  else await files.writeAtomically(name, text, 0o644);
}

/** The command that has the web server read its configuration. */
export const reloadOf = ({ before }: Pick<Change, "before">): string => parseWebServerBefore(before).reload;
