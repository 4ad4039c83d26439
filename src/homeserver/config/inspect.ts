import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files/files.ts";
import type { Homeserver } from "../homeserver.ts";
import { inspectAppservices } from "./checks/appservices.ts";
import { changedFindings } from "./checks/changed-settings.ts";
import { hostFindings } from "./checks/host.ts";
import { kindFindings } from "./checks/kind.ts";
import { moduleFindings } from "./checks/modules.ts";
import { overriddenFindings } from "./checks/overridden.ts";
import { namedFileFindings } from "./checks/referenced-files.ts";
import { type MoveVersions, removedFindings, removedFromLogConfig } from "./checks/removed-settings.ts";
import { secretFindings } from "./checks/secrets.ts";

/**
 * Checks the configuration before a move; checks more when the versions of both hosts are known.
 * Reads only; shows no value of a setting that may be secret.
 */
export async function inspectConfig(
  homeserver: Homeserver,
  files: Files,
  between: MoveVersions = {},
): Promise<Finding[]> {
  return [
    ...nameFindings(homeserver),
    ...overriddenFindings(homeserver),
    ...kindFindings(homeserver),
    ...(await namedFileFindings(homeserver, files)),
    ...removedFindings(homeserver, between),
    ...(await removedFromLogConfig(homeserver, files, between)),
    ...changedFindings(homeserver, between),
    ...secretFindings(homeserver),
    ...moduleFindings(homeserver),
    ...(await inspectAppservices(homeserver, files)).findings,
    ...hostFindings(homeserver),
  ];
}

/** synapse/util/stringutils.py, `parse_and_validate_server_name`. */
const SERVER_NAME = /^(?:[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

function nameFindings({ serverName, configFiles }: Homeserver): Finding[] {
  const id = "server-name";
  const evidence = configFiles.map(({ path }) => path);
  if (!SERVER_NAME.test(serverName)) {
    const hint = "it cannot be changed for a server that has users: find the configuration that it runs with";
    return [{ id, level: "blocker", sentence: "server_name is not a valid host name", evidence, hint }];
  }
  return [{ id, level: "ok", sentence: `the server name is ${serverName}`, evidence }];
}
