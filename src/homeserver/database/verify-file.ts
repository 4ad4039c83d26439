import { dirname } from "node:path";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files.ts";

const WRITE = 0o200;
const READ_WRITE = 0o600;
/** What others must not: read it, as it holds everybody's sessions, or write to it. */
const OTHERS = 0o027;

/**
 * The gate of a SQLite file: the server can write to it and beside it, and nobody else can read it. Whom it is to
 * belong to, the media store tells, which that account writes to as well.
 */
export async function verifyDatabaseFile(path: string, mediaStore: string, files: Files): Promise<Finding> {
  const id = "database-file";
  const [file, folder, store] = [
    await files.follow(path),
    await files.follow(dirname(path)),
    await files.follow(mediaStore),
  ];
  const uid = store?.uid;
  const faults: string[] = [];
  if (file?.kind !== "file") faults.push(`${path} is ${file ? "no file" : "not there"}`);
  else {
    if (file.uid !== uid)
      faults.push(`${path} belongs to user id ${file.uid}, the media store to ${uid ?? "nobody"}`);
    if ((file.mode & READ_WRITE) !== READ_WRITE)
      faults.push(`${path} has mode ${octal(file.mode)}, its owner may not read and write it`);
    if ((file.mode & OTHERS) !== 0)
      faults.push(`${path} has mode ${octal(file.mode)}, others may read it or write to it`);
  }
  // SQLite makes a -wal beside the file.
  if (folder && !mayWrite(folder, uid))
    faults.push(
      `${dirname(path)} belongs to user id ${folder.uid}, with mode ${octal(folder.mode)}: the server cannot make files there`,
    );
  if (faults.length === 0)
    return {
      id,
      level: "ok",
      sentence: `${path} belongs to the account of the media store, and to nobody else`,
    };
  return {
    id,
    level: "blocker",
    sentence: `the database ${path} is not as the server needs it`,
    evidence: faults,
    hint: "give it and its folder to the account that runs Synapse: chown, and chmod 600 for the file",
  };
}

const mayWrite = ({ uid, mode }: { uid: number; mode: number }, account: number | undefined) =>
  account === 0 || (uid === account && (mode & WRITE) !== 0) || (mode & 0o022) !== 0;

const octal = (mode: number) => `0${mode.toString(8)}`;
