import { MigrationError } from "../../errors.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { type ConfigSource, readHomeserver } from "../../homeserver/read.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import { unseen } from "./look.ts";

/** A configuration that cannot be read is a finding: what has nothing to do with it can still be looked at. */
export async function readOrSay(
  source: ConfigSource,
  files: Files,
): Promise<{ homeserver?: Homeserver; findings: Finding[] }> {
  try {
    return { homeserver: await readHomeserver(source, files), findings: [] };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { findings: [unseen("config", error)] };
  }
}
