import { MigrationError } from "../../../errors.ts";
import type { DatabaseTarget } from "../../../homeserver/database/target.ts";
import { makeOwnedFolder } from "../../../system/files/owned-folder.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { ChosenLayout } from "./choose.ts";
import { composeFiles, composeStart, composeUp, type ComposeVersions } from "./compose.ts";
import type { StartFacts } from "./layout.ts";
import { pipFiles } from "./pip.ts";
import { writeLayoutFiles } from "./write.ts";

/** Milliseconds: images may have to be pulled first. */
const TIMEOUT_MS = 900_000;

/**
 * With compose, writes its files and starts only the database, so that it can be restored. May be repeated. Throws
 * `target-not-empty`, `program-missing`, `program-failed`.
 */
export async function prepareDatabase(
  { compose, ...layout }: ChosenLayout,
  versions: ComposeVersions,
  target: DatabaseTarget,
  { files, machine, programs }: System,
  progress: Progress,
): Promise<void> {
  if (!compose || target.engine !== "postgres") return;
  const synapse = target.address.password ?? "";
  const postgres = Buffer.from(machine.random(24)).toString("hex");
  await files.makeFolder(compose.folder);
  await writeLayoutFiles(composeFiles(compose, layout, versions, { synapse, postgres }), files);
  progress.note("starting the database's container");
  try {
    await programs.run({ name: "docker", args: composeUp(compose.folder), timeout: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const what =
      error.code === "program-missing"
        ? error.message
        : `the database's container does not start: ${error.message}`;
    throw new MigrationError(error.code, what, {
      hint: "install Docker with its compose plugin, make sure that its daemon runs, and run the same command again",
      cause: error,
    });
  }
}

/** Writes the files that start the server, once the configuration is in place. May be repeated. */
export async function writeStart(
  chosen: ChosenLayout,
  started: StartFacts,
  python: string | undefined,
  { files }: Pick<System, "files">,
): Promise<void> {
  const { pip, compose, owner } = chosen;
  if (pip) {
    await makeOwnedFolder(pip.folder, owner, files);
    await writeLayoutFiles(pipFiles(pip, chosen, python ?? "python3", started), files);
  }
  if (compose) await writeLayoutFiles([composeStart(chosen, started)], files);
}
