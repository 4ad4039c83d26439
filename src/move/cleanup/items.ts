import { join } from "node:path";
import { workingPassphraseFileOf } from "../../bundle/export-keys.ts";
import {
  CHECKSUMS,
  FENCE,
  FETCHED,
  FOLLOW,
  INVENTORY,
  JOURNAL,
  MANIFEST,
  OPENING,
  PACKED_MEDIA,
  PROGRESS,
  REPORT,
  SENT,
} from "../../bundle/layout.ts";
import { passphraseFileOf } from "../../bundle/passphrase.ts";
import { privateCopyFolder } from "../../homeserver/database/sqlite/private-copy.ts";
import type { Files } from "../../system/files/files.ts";
import { type RestoreRecord, recordFolder } from "../restore/record.ts";

/** A file that is left of a move, and why it is there. */
export interface LeftFile {
  readonly path: string;
  readonly bytes: number;
  readonly why: string;
  /** Not taken away, because it is needed or wanted later. */
  readonly kept: boolean;
}

const KEPT = true;

/** What a bundle's folder and its neighbours have, in the order in which it is removed: secrets first, records last. */
export async function filesOfBundle(folder: string, files: Files): Promise<LeftFile[]> {
  const found = new Finder(files);
  await found.add(passphraseFileOf(folder), "the passphrase, which opens every copy of the bundle");
  await found.add(workingPassphraseFileOf(folder), "the working passphrase of an export that did not end");
  await found.addFolder(privateCopyFolder(folder), () => "a private, unencrypted copy of the database");
  await found.addFolder(folder, (name) => {
    const partial = /^\.(.+?)(?:\.unfinished|\.[0-9a-f]{24}\.partial)$/.exec(name)?.[1];
    if (partial !== undefined) return isOfBundle(partial) ? "an incomplete file of the bundle" : undefined;
    return isOfBundle(name) ? "the bundle" : undefined;
  });
  for (const [name, why] of WORKING_FILES) await found.add(join(folder, name), why);
  await found.add(join(folder, REPORT), "the report of the export", KEPT);
  return found.all;
}

/** The new host's own files beside its configuration. */
export async function filesOfRestore(
  configFolder: string,
  { passphrase, mediaStore }: RestoreRecord,
  files: Files,
): Promise<LeftFile[]> {
  const found = new Finder(files);
  const folder = recordFolder(configFolder);
  if (passphrase !== undefined)
    await found.add(join(folder, passphrase), "the passphrase of the inventory after a direct transfer");
  await found.addFolder(`${mediaStore}.spool.clear`, () => "a decrypted dump of an interrupted restore");
  await found.addFolder(`${mediaStore}.spool`, (name) =>
    isOfBundle(name) || name === ".synlift-spool" ? "a bundle from standard input" : undefined,
  );
  await found.add(join(folder, INVENTORY), "the inventory, which the gates were checked against");
  await found.add(join(folder, JOURNAL), "the journal of the restore");
  await found.add(join(folder, REPORT), "the report with the gates and the outage", KEPT);
  await found.add(join(folder, "restored.json"), "the record that this server was opened", KEPT);
  return found.all;
}

const WORKING_FILES: readonly (readonly [string, string])[] = [
  [PACKED_MEDIA, "which media files were packed first, as keyed hashes"],
  [PROGRESS, "the progress of an export"],
  [SENT, "receipts of what was sent"],
  [FETCHED, "receipts of what was fetched"],
  [JOURNAL, "the journal of the export"],
  [FOLLOW, "what follow changed in PostgreSQL on this host, which is undone first"],
  [FENCE, "what export changed on this host, which only rollback needs"],
];

/** Whether a file name is one that only a bundle has. Whatever else is in its folder is left alone. */
const isOfBundle = (name: string) =>
  [MANIFEST, CHECKSUMS, OPENING, INVENTORY].includes(name) ||
  /^(?:customer_[a-z_]+|homeserver)[\w.-]*\.gpg(?:\.part-[a-z]{2,})?$/.test(name);

/** Looks for regular files; symbolic links and folders in a folder are never followed. */
class Finder {
  readonly all: LeftFile[] = [];
  readonly #files: Files;

  constructor(files: Files) {
    this.#files = files;
  }

  async add(path: string, why: string, kept = false): Promise<void> {
    const entry = await this.#files.lstat(path);
    if (entry?.kind === "file") this.all.push({ path, bytes: entry.size, why, kept });
  }

  async addFolder(folder: string, whyOf: (name: string) => string | undefined): Promise<void> {
    if ((await this.#files.lstat(folder))?.kind !== "folder") return;
    for (const name of await this.#files.list(folder)) {
      const why = whyOf(name);
      if (why !== undefined) await this.add(join(folder, name), why);
    }
  }
}
