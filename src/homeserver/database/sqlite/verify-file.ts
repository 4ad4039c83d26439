import { dirname } from "node:path";
import type { Finding } from "../../../report/finding.ts";
import { formatMode } from "../../../report/units.ts";
import type { Files } from "../../../system/files/files.ts";

const WRITE = 0o200;
const READ_WRITE = 0o600;
/** Permissions that other users must not have: the file holds everyone's sessions. */
const OTHERS = 0o027;

export interface ServerAccount {
  /** Undefined where the account that will run the server is not known. */
  readonly uid: number | undefined;
  /** For people. */
  readonly name: string;
}

/** The gate of a SQLite file: the server can write to it and to its folder, and no other user can read it. Changes nothing. */
export async function verifyDatabaseFile(
  path: string,
  account: ServerAccount,
  files: Files,
): Promise<Finding> {
  const id = "database-file";
  const file = await files.stat(path);
  const folder = await files.stat(dirname(path));
  const faults: string[] = [];
  if (file?.kind !== "file") faults.push(`${path} ${file ? "is not a regular file" : "does not exist"}`);
  else {
    if (account.uid !== undefined && file.uid !== account.uid)
      faults.push(`${path} belongs to user id ${file.uid}`);
    if ((file.mode & READ_WRITE) !== READ_WRITE)
      faults.push(`${path} has mode ${formatMode(file.mode)}, its owner may not read and write it`);
    if ((file.mode & OTHERS) !== 0)
      faults.push(`${path} has mode ${formatMode(file.mode)}, others may read it or write to it`);
  }
  // SQLite makes a -wal beside the file.
  if (folder && !mayWrite(folder, account.uid ?? file?.uid))
    faults.push(
      `${dirname(path)} belongs to user id ${folder.uid} and has mode ${formatMode(folder.mode)}: no -wal can be made there`,
    );
  if (faults.length === 0)
    return { id, level: "ok", sentence: `${path} belongs to ${account.name}, and no other user can read it` };
  return {
    id,
    level: "blocker",
    sentence: `the database ${path} has the wrong owner or mode for ${account.name}`,
    evidence: faults,
    hint: "give it and its folder to the account that runs Synapse: chown, and chmod 600 for the file",
  };
}

const mayWrite = ({ uid, mode }: { uid: number; mode: number }, account: number | undefined) =>
  account === undefined || account === 0 || (uid === account ? (mode & WRITE) !== 0 : (mode & 0o022) !== 0);
