import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files.ts";
import { postgresProgramVersion } from "../../system/postgres.ts";
import type { Programs } from "../../system/programs.ts";

/** Where Debian keeps the programs of each major version; the one in PATH need not be the newest. */
const VERSIONS = "/usr/lib/postgresql";

export interface Needs {
  readonly program: "pg_dump" | "psql";
  /** The server's. */
  readonly major: number;
  readonly versionText: string;
}

/**
 * The program to call: the one in PATH when it is new enough, else the oldest that is. pg_dump refuses a server newer
 * than itself, and would do so only after everything else is done.
 * Throws `program-missing`, or `program-too-old` naming the package to install.
 */
export async function findProgram(
  needs: Needs,
  { programs, files }: { programs: Programs; files: Files },
): Promise<string> {
  const { program, major, versionText } = needs;
  const seen: string[] = [];
  if ((await programs.find(program)) !== undefined) {
    const version = await postgresProgramVersion(program, programs);
    if (version.major >= major) return program;
    seen.push(version.text);
  }
  for (const path of await installed(program, files)) {
    const version = await postgresProgramVersion(path, programs);
    if (version.major >= major) return path;
    seen.push(version.text);
  }
  const hint = `install it: apt-get install postgresql-client-${major}, from Debian or from the PostgreSQL project's own Debian archive`;
  if (seen.length === 0) throw new MigrationError("program-missing", `${program} is not installed`, { hint });
  throw new MigrationError(
    "program-too-old",
    `${program} ${seen.join(" and ")} is older than the database server, PostgreSQL ${versionText}, and cannot be used with it`,
    { hint },
  );
}

async function installed(program: string, files: Files): Promise<string[]> {
  if (!(await files.look(VERSIONS))) return [];
  const majors = (await files.list(VERSIONS)).map(Number).filter(Number.isInteger);
  const paths = majors.sort((a, b) => a - b).map((found) => join(VERSIONS, String(found), "bin", program));
  const there: string[] = [];
  for (const path of paths) if (await files.follow(path)) there.push(path);
  return there;
}
