import { basename, dirname, join } from "node:path";
import { MigrationError } from "../../../errors.ts";
import { isStorePath } from "../../../homeserver/media/store/layout.ts";
import { type Files, UNFINISHED_SUFFIX } from "../../../system/files/files.ts";
import type { Machine } from "../../../system/machine.ts";
import { forgetMedia, type MediaRecord, writtenPath } from "./record.ts";

/** Milliseconds after which what was written down is synced: after a power failure, at most so much is not known. */
const SYNC_MS = 1_000;

/** Writes down what is about to be written below a media store, so that it can be taken away again, and nothing else. */
export interface WrittenList {
  /** Resolves once it is written down. A name may be told twice. */
  add(name: string): Promise<void>;
  sync(): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Goes on with the list that there is. The caller closes it. */
export async function openWritten(
  configDir: string,
  files: Files,
  { elapsed }: Pick<Machine, "elapsed">,
): Promise<WrittenList> {
  const path = writtenPath(configDir);
  const file = await files.grow(path, (await files.lstat(path))?.size ?? 0);
  const write = (text: string) => file.write(new TextEncoder().encode(text));
  try {
    // A power failure may have cut off the last line.
    await write("\n");
  } catch (error) {
    await file.close();
    throw error;
  }
  let synced = elapsed();
  return {
    async add(name) {
      await write(`${JSON.stringify(name)}\n`);
      if (elapsed() - synced < SYNC_MS) return;
      synced = elapsed();
      await file.sync();
    },
    sync: () => file.sync(),
    close: () => file.close(),
  };
}

/**
 * Deletes what `follow` has written below the media store, and folders that are empty then, and forgets it. What else lies there stays.
 * May be repeated after an interruption at any moment.
 */
export async function removeWritten(
  configDir: string,
  { dir, made }: Pick<MediaRecord, "dir" | "made">,
  { files, signal }: { readonly files: Files; readonly signal: AbortSignal },
  tell: (files: number) => void,
): Promise<void> {
  for await (const name of namesIn(writtenPath(configDir), files)) {
    signal.throwIfAborted();
    const path = join(dir, name);
    await files.remove(path);
    await files.remove(unfinished(path));
    await removeEmptyAbove(name, dir, files);
    tell(1);
  }
  for (const folder of made.toReversed()) await removeIfEmpty(folder, files);
  await forgetMedia(configDir, files);
}

const unfinished = (path: string) => join(dirname(path), `.${basename(path)}${UNFINISHED_SUFFIX}`);

/** The folders of a file, up to those that every store has. */
async function removeEmptyAbove(name: string, dir: string, files: Files): Promise<void> {
  for (let folder = dirname(name); folder.includes("/"); folder = dirname(folder))
    if (!(await removeIfEmpty(join(dir, folder), files))) return;
}

/** Whether it is gone. */
async function removeIfEmpty(folder: string, files: Files): Promise<boolean> {
  try {
    // One that a killed run has not given its name yet.
    if (await files.lstat(unfinished(folder))) await files.removeEmptyFolder(unfinished(folder));
    if (!(await files.lstat(folder))) return true;
    if ((await files.list(folder)).length > 0) return false;
    await files.removeEmptyFolder(folder);
    return true;
  } catch (error) {
    // Somebody puts something there at this moment.
    if (error instanceof MigrationError && error.code === "file-failed") return false;
    throw error;
  }
}

/** Each line is a name, as JSON. Other lines are the remains of a power failure, and name nothing. */
async function* namesIn(path: string, files: Files): AsyncIterable<string> {
  if (!(await files.lstat(path))) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of files.read(path)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const name = nameIn(line);
      if (name !== undefined) yield name;
    }
  }
  const name = nameIn(rest);
  if (name !== undefined) yield name;
}

function nameIn(line: string): string | undefined {
  if (!line.startsWith('"') || !line.endsWith('"') || line.length < 2) return undefined;
  try {
    const name = JSON.parse(line) as unknown;
    return typeof name === "string" && isStorePath(name) ? name : undefined;
  } catch {
    return undefined;
  }
}
