import { dirname, join } from "node:path";
import { MigrationError, tryRead } from "../../errors.ts";
import type { Files } from "../../system/files/files.ts";
import { getIfAnswered, jsonOf } from "../../system/http/ask.ts";
import type { Http, HttpAnswer } from "../../system/http/http.ts";
import { askProgram } from "../../system/programs/ask.ts";
import type { Programs } from "../../system/programs/programs.ts";
import type { Homeserver } from "../homeserver.ts";
import { localHttp, localUrlsOf } from "../listeners.ts";
import { isOnThisHost, onThisHost } from "../path-map.ts";
import type { Launch } from "../service/find/launch.ts";
import { isMapping } from "../settings.ts";
import { parseVersion, type Version } from "../synapse-versions.ts";

export interface FoundVersion {
  readonly version: Version;
  /** Where this is known from, in words. */
  readonly from: string;
}

export interface VersionSystem {
  readonly http: Http;
  readonly programs: Programs;
  readonly files: Files;
  readonly signal: AbortSignal;
}

/**
 * The version of Synapse: from the running server, or else from its container image, its Python packages or Debian's
 * package. Runs no code of Synapse. Undefined when unknown. `url` is used instead of its own listeners if given.
 */
export async function sourceVersion(
  homeserver: Homeserver,
  launch: Launch | undefined,
  asked: VersionSystem,
  url?: string,
): Promise<FoundVersion | undefined> {
  const { listeners } = homeserver;
  const local = { ...asked, http: localHttp(asked.http, listeners) };
  return (
    (await versionFromServer(url === undefined ? localUrlsOf(listeners) : [url], local)) ??
    foundVersion(launch?.version, `the image of ${launch?.from ?? ""}`) ??
    (await versionFromLaunch(launch, asked.files)) ??
    (await versionFromDpkg(asked.programs))
  );
}

function foundVersion(text: string | undefined, from: string): FoundVersion | undefined {
  const version = parseVersion(text ?? "");
  return version && { version, from };
}

async function versionFromServer(
  urls: readonly string[],
  asked: VersionSystem,
): Promise<FoundVersion | undefined> {
  for (const url of urls) {
    for (const path of ["/_matrix/federation/v1/version", "/_matrix/client/versions"]) {
      const answer = await getIfAnswered(`${url}${path}`, asked);
      if (!answer) break;
      // A listener without federation still has it in a header, unless a proxy removes that.
      const header = /^Synapse\/(.*)$/.exec(answer.headers.get("server") ?? "")?.[1];
      const found = foundVersion(versionIn(answer)?.version ?? header, url);
      if (found) return found;
    }
  }
  return undefined;
}

/** The `server` of `/_matrix/federation/v1/version`, where it is one. */
export function versionIn(answer: HttpAnswer): { name: string; version: string } | undefined {
  const server = jsonOf(answer)?.["server"];
  if (!isMapping(server)) return undefined;
  const { name, version } = server;
  return typeof name === "string" && typeof version === "string" ? { name, version } : undefined;
}

/** The name of the folder that pip leaves beside a package: `matrix_synapse-1.163.2.dist-info`. */
async function versionFromLaunch(
  launch: Launch | undefined,
  files: Files,
): Promise<FoundVersion | undefined> {
  // A program in an image, not mounted, is not on this host.
  if (!launch?.program?.startsWith("/") || !isOnThisHost(launch.program, launch.map)) return undefined;
  return versionFromEnvironment(onThisHost(launch.program, launch.map), files);
}

/** The Synapse in the virtual environment of a program: "/opt/venvs/matrix-synapse/bin/python". */
export async function versionFromEnvironment(
  program: string,
  files: Files,
): Promise<FoundVersion | undefined> {
  const lib = join(dirname(dirname(program)), "lib");
  for (const python of (await listed(lib, files)).filter((name) => /^python3/.test(name))) {
    for (const packages of ["site-packages", "dist-packages"]) {
      for (const name of await listed(join(lib, python, packages), files)) {
        const version = /^matrix_synapse-(.+)\.(?:dist|egg)-info$/.exec(name)?.[1];
        const found = foundVersion(version, join(lib, python, packages));
        if (found) return found;
      }
    }
  }
  return undefined;
}

/** The version of Debian's package. */
export async function versionFromDpkg(programs: Programs): Promise<FoundVersion | undefined> {
  for (const name of ["matrix-synapse-py3", "matrix-synapse"]) {
    try {
      const args = ["--show", "--showformat", "${db:Status-Abbrev} ${Version}", name];
      const said = await askProgram("dpkg-query", args, programs);
      // "ii": it is installed, and not only its configuration left.
      const found = foundVersion(/^ii\s+(\S+)/.exec(said ?? "")?.[1], `the package ${name}`);
      if (found) return found;
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "program-failed") throw error;
    }
  }
  return undefined;
}

async function listed(folder: string, files: Files): Promise<string[]> {
  return (await tryRead(() => files.list(folder))) ?? [];
}
