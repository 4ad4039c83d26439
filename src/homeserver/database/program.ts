import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import { DEBIAN_VERSIONS, postgresProgramVersion, withoutWrapper } from "../../system/postgres/postgres.ts";
import type { Programs } from "../../system/programs/programs.ts";

export interface ProgramRequirement {
  readonly program: "pg_dump" | "pg_restore" | "psql";
  /** The server's. */
  readonly major: number;
  readonly versionText: string;
  /** The command that runs it elsewhere, if it does not run here (`PostgresAddress.commandPrefix`). */
  readonly through?: readonly string[] | undefined;
}

/**
 * Finds the program to call: that of the server's own major version where there is one, as a newer one sets parameters that an older
 * server does not have (version 17 sets transaction_timeout); else the one in PATH when it is newer, else the oldest sufficient version.
 * pg_dump rejects a server newer than itself, and would fail only after everything else is done.
 * Throws `program-missing`, or `program-too-old` naming the package to install.
 */
export async function findProgram(
  needs: ProgramRequirement,
  { programs, files }: { programs: Programs; files: Files },
): Promise<string> {
  const { program, major, versionText, through } = needs;
  if (through) return findRemoteProgram(program, through, needs, programs);
  const own = join(DEBIAN_VERSIONS, String(major), "bin", program);
  if (program === "pg_restore" && (await files.stat(own))) return own;
  const seen: string[] = [];
  if ((await programs.find(program)) !== undefined) {
    const named = await withoutWrapper(program, programs);
    const version = await postgresProgramVersion(named, programs);
    if (version.major === major) return named;
    if (version.major > major) return (await files.stat(own)) ? own : named;
    seen.push(version.text);
  }
  for (const path of await installed(program, files)) {
    const version = await postgresProgramVersion(path, programs);
    if (version.major >= major) return path;
    seen.push(version.text);
  }
  const hint = `install it: apt-get install postgresql-client-${major}, from Debian or from the PostgreSQL project's own Debian archive`;
  if (seen.length === 0) throw new MigrationError("program-missing", `${program} is not installed`, { hint });
  throw tooOld(`${program} ${[...new Set(seen)].join(" and ")}`, versionText, hint);
}

/** Where a command runs the program elsewhere, there is only one version to choose. */
async function findRemoteProgram(
  program: ProgramRequirement["program"],
  through: readonly string[],
  { major, versionText }: ProgramRequirement,
  programs: Programs,
): Promise<string> {
  const version = await postgresProgramVersion(program, programs, through);
  if (version.major >= major) return program;
  const where = through.join(" ");
  throw tooOld(
    `${program} ${version.text}, run by ${where},`,
    versionText,
    "use a command that runs programs of the server's own version, such as those in its container",
  );
}

const tooOld = (what: string, server: string, hint: string) =>
  new MigrationError(
    "program-too-old",
    `${what} is older than the database server, PostgreSQL ${server}, and cannot be used with it`,
    { hint },
  );

async function installed(program: string, files: Files): Promise<string[]> {
  if (!(await files.lstat(DEBIAN_VERSIONS))) return [];
  const majors = (await files.list(DEBIAN_VERSIONS)).map(Number).filter(Number.isInteger);
  const paths = majors
    .sort((a, b) => a - b)
    .map((found) => join(DEBIAN_VERSIONS, String(found), "bin", program));
  const there: string[] = [];
  for (const path of paths) if (await files.stat(path)) there.push(path);
  return there;
}
