import { join } from "node:path";
import { MigrationError, tryRead } from "../../../errors.ts";
import { DEBIAN_VERSIONS, postgresProgramVersion } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";

/** The server programs of one major version of PostgreSQL. */
export interface ServerPrograms {
  readonly major: number;
  readonly folder: string;
}

/** Where packages put those of several versions: Debian's, and the RPMs of postgresql.org below /usr. */
const PLACES: readonly { readonly folder: string; readonly name: RegExp }[] = [
  { folder: DEBIAN_VERSIONS, name: /^\d+$/ },
  { folder: "/usr", name: /^pgsql-\d+$/ },
];

/** Those of this host, or those in `given`. What a standby needs is all there: initdb alone would be a client package. */
export async function serverPrograms(
  given: string | undefined,
  system: Pick<System, "files" | "programs">,
): Promise<ServerPrograms[]> {
  const folders = given === undefined ? await knownFolders(system) : [given];
  const found = await Promise.all(folders.map((folder) => tryRead(() => programsIn(folder, system))));
  const all = found.filter((one) => one !== undefined);
  return all.filter(({ major }, at) => all.findIndex((other) => other.major === major) === at);
}

/** Throws `program-missing` where this host does not have this version. */
export async function programsOfMajor(
  major: number,
  given: string | undefined,
  system: Pick<System, "files" | "programs">,
): Promise<ServerPrograms> {
  const found = await serverPrograms(given, system);
  const fitting = found.find((one) => one.major === major);
  if (fitting) return fitting;
  const others = found.length === 0 ? "" : `; it has ${found.map((one) => one.major).join(", ")}`;
  throw new MigrationError(
    "program-missing",
    `this host does not have the server of PostgreSQL ${major}${given === undefined ? "" : ` in ${given}`}${others}`,
    {
      hint: `a standby needs the major version of the old server: apt-get install postgresql-${major} (for a version that this Debian does not have: apt.postgresql.org), or name the folder of its programs: --postgres-programs`,
    },
  );
}

async function knownFolders({ files, programs }: Pick<System, "files" | "programs">): Promise<string[]> {
  const folders: string[] = [];
  for (const { folder, name } of PLACES) {
    const names = ((await tryRead(() => files.list(folder))) ?? []).filter((one) => name.test(one));
    folders.push(...names.map((one) => join(folder, one, "bin")));
  }
  const inPath = await programs.find("postgres");
  if (inPath !== undefined) folders.push(join(await files.real(inPath), ".."));
  return folders;
}

async function programsIn(
  folder: string,
  { files, programs }: Pick<System, "files" | "programs">,
): Promise<ServerPrograms> {
  for (const name of ["postgres", "pg_basebackup", "pg_ctl", "pg_controldata"])
    if ((await files.stat(join(folder, name)))?.kind !== "file")
      throw new MigrationError("program-missing", `${join(folder, name)} does not exist`);
  return { major: (await postgresProgramVersion(join(folder, "postgres"), programs)).major, folder };
}
