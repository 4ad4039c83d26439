import { MigrationError } from "../../../errors.ts";
import { majorOf } from "../../../homeserver/database/facts.ts";
import { findProgram } from "../../../homeserver/database/program.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import { postgresProgramVersion } from "../../../system/postgres/postgres.ts";
import type { Programs } from "../../../system/programs/programs.ts";

export interface DatabaseServer {
  /** server_version_num. */
  readonly serverVersion: number;
  readonly versionText: string;
  /** Command prefix that runs its programs elsewhere, if they do not run here. */
  readonly through?: readonly string[] | undefined;
}

/** The programs that a move calls, with their versions. `server` is left out where there is no PostgreSQL. */
export async function programFindings(
  server: DatabaseServer | undefined,
  system: { programs: Programs; files: Files },
): Promise<Finding[]> {
  return [
    await gpg(system.programs),
    ...(server === undefined ? [] : [await pgDump(server, system)]),
    ...(await transferProgramFindings(system.programs)),
  ];
}

async function gpg(programs: Programs): Promise<Finding> {
  const id = "gpg";
  const missing: Finding = {
    id,
    level: "blocker",
    sentence: "gpg is not installed; synlift needs it to encrypt the bundle",
    hint: "install it: apt-get install gnupg",
  };
  if ((await programs.find("gpg")) === undefined) return missing;
  try {
    const said = await programs.run({ name: "gpg", args: ["--no-options", "--version"], timeout: 10_000 });
    return { id, level: "ok", sentence: `gpg is ${/\d+\.\d+(?:\.\d+)?/.exec(said)?.[0] ?? "there"}` };
  } catch (error) {
    return {
      ...missing,
      sentence: `gpg does not work: ${(error as Error).message}`,
      hint: "reinstall it: apt-get install --reinstall gnupg",
    };
  }
}

/** pg_dump refuses a server newer than itself (pg_dump(1), NOTES). */
async function pgDump(
  { serverVersion, versionText, through }: DatabaseServer,
  system: { programs: Programs; files: Files },
): Promise<Finding> {
  const id = "pg-dump";
  try {
    const path = await findProgram(
      { program: "pg_dump", major: majorOf(serverVersion), versionText, through },
      system,
    );
    const { text } = await postgresProgramVersion(path, system.programs, through);
    return {
      id,
      level: "ok",
      sentence: `pg_dump ${text} can dump PostgreSQL ${versionText}; the new host needs PostgreSQL ${majorOf(serverVersion)} or newer`,
    };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return {
      id,
      level: "blocker",
      sentence: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
  }
}

async function transferProgramFindings(programs: Programs): Promise<Finding[]> {
  const found: string[] = [];
  for (const [name, how] of [
    ["ssh", "over SSH"],
    ["rclone", "with rclone"],
  ] as const)
    if ((await programs.find(name)) !== undefined) found.push(how);
  if (found.length > 0)
    return [
      {
        id: "transfer-program",
        level: "ok",
        sentence: `synlift send can send the bundle ${found.join(" or ")}`,
      },
    ];
  return [
    {
      id: "transfer-program",
      level: "note",
      sentence:
        "neither ssh nor rclone is installed: the bundle can only be sent to a folder or to synlift receive",
      hint: "install ssh: apt-get install openssh-client; or send it to a mounted disk",
    },
  ];
}
