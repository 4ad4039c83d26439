import { MigrationError } from "../../../errors.ts";
import { drain } from "../../../pipeline/transform.ts";
import type { Finding } from "../../../report/finding.ts";
import type { Files } from "../../../system/files/files.ts";
import type { Homeserver, Referenced } from "../../homeserver.ts";
import { GENERATED_BY_SYNAPSE } from "../secrets.ts";

/** Files and folders that the settings name and that do not exist or cannot be read. The signing key has its own check. */
export async function namedFileFindings(homeserver: Homeserver, files: Files): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const referenced of homeserver.referenced) {
    if (referenced.role === "signing-key" || isIdle(referenced, hasTls(homeserver))) continue;
    const problem = await findProblem(referenced, files);
    if (problem !== undefined) findings.push(missingFileFinding(referenced, problem, homeserver));
  }
  return findings;
}

/** Synapse reads them for its own listeners with TLS only (synapse/config/tls.py, `read_certificate_from_disk`). */
export const isIdle = ({ setting }: Pick<Referenced, "setting">, listensWithTls: boolean) =>
  (setting === "tls_certificate_path" || setting === "tls_private_key_path") && !listensWithTls;

/** Whether a listener of the server speaks TLS itself. */
export const hasTls = ({ listeners = [] }: Partial<Pick<Homeserver, "listeners">>) =>
  listeners.some(({ tls }) => tls);

function missingFileFinding(
  { setting, path, required }: Referenced,
  problem: string,
  { map }: Homeserver,
): Finding {
  return {
    id: `file-missing:${setting}`,
    level: required ? "blocker" : setting === GENERATED_BY_SYNAPSE ? "note" : "warning",
    sentence: `${setting} names ${path}, ${problem}`,
    hint:
      map.length === 0
        ? "relative paths start at the working directory of Synapse: check both"
        : "a file outside of the mounted folders exists only in the container: copy it out with docker cp, or name the mount: --map INSIDE=OUTSIDE",
  };
}

async function findProblem({ path, role }: Referenced, files: Files): Promise<string | undefined> {
  const wanted = role === "templates" ? "folder" : "file";
  try {
    const found = await files.stat(path);
    if (!found) return "which does not exist";
    if (found.kind !== wanted) return `which is not a ${wanted}`;
    if (wanted === "folder") await files.list(path);
    else await drain(files.read(path, { to: 1 }));
    return undefined;
  } catch (error) {
    if (error instanceof MigrationError) return "which cannot be read";
    throw error;
  }
}
