import { MigrationError } from "../../errors.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { type ConfigSource, readHomeserver } from "../../homeserver/read.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import { failureFinding } from "./look.ts";

/** Reads the configuration; one that cannot be read becomes a finding, so that other checks still run. */
export async function readConfigOrFinding(
  source: ConfigSource,
  files: Files,
): Promise<{ homeserver?: Homeserver; findings: Finding[] }> {
  try {
    return { homeserver: await readHomeserver(source, files), findings: [] };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { findings: [failureFinding("config", error)] };
  }
}
