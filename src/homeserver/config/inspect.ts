import { isDeepStrictEqual } from "node:util";
import { MigrationError } from "../../errors.ts";
import { drain } from "../../pipeline/stage.ts";
import type { Finding } from "../../report/finding.ts";
import type { Files } from "../../system/files.ts";
import type { Homeserver, Referenced } from "../homeserver.ts";
import { MADE_BY_SYNAPSE } from "./secrets.ts";
import { isMapping, settingAt } from "./setting.ts";
import { parseYaml } from "./yaml.ts";

/** What is worth knowing about the configuration before a move. Only looks; shows no value of a setting that may be secret. */
export async function inspectConfig(homeserver: Homeserver, files: Files): Promise<Finding[]> {
  const findings = [...nameFindings(homeserver), ...overridden(homeserver), ...kindFindings(homeserver)];
  for (const referenced of homeserver.referenced) {
    // The signing key has an inspection of its own.
    if (referenced.role !== "signing-key") findings.push(...(await fileFindings(referenced, files)));
  }
  return findings;
}

/** synapse/util/stringutils.py, `parse_and_validate_server_name`. */
const SERVER_NAME = /^(?:[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;

function nameFindings({ serverName, configFiles }: Homeserver): Finding[] {
  const evidence = configFiles.map(({ path }) => path);
  if (SERVER_NAME.test(serverName)) {
    return [{ id: "server-name", level: "ok", sentence: `the server name is ${serverName}`, evidence }];
  }
  return [{ id: "server-name", level: "blocker", sentence: "server_name is not a host name", evidence }];
}

/** A later file replaces a whole top-level setting, which is rarely what its author meant. */
function overridden({ configFiles, settings }: Homeserver): Finding[] {
  const findings: Finding[] = [];
  const keys = new Set(configFiles.flatMap((file) => file.keys));
  for (const key of keys) {
    const givers = configFiles.filter((file) => file.keys.includes(key));
    if (givers.length < 2) continue;
    const values = givers.map(({ text }) => (parseYaml(text) as Record<string, unknown>)[key]);
    const lost = values.slice(0, -1).flatMap((value) => lostKeys(value, settings[key]));
    if (key === "password_config" && lost.includes("pepper"))
      findings.push(lostPepper(givers.map(({ path }) => path)));
    if (values.every((value) => isDeepStrictEqual(value, values[0]))) continue;
    findings.push({
      id: `config-overridden:${key}`,
      level: lost.length > 0 ? "warning" : "note",
      sentence: `${key} is given by ${givers.length} files, and only the last one counts: ${givers.at(-1)!.path}`,
      evidence: [
        ...givers.map(({ path }) => path),
        ...[...new Set(lost)].map((name) => `${key}.${name} is given in an earlier file and has no effect`),
      ],
      hint: "Synapse replaces whole top-level settings: put the parts into one file if they are meant to count together",
    });
  }
  return findings;
}

function lostKeys(earlier: unknown, merged: unknown): string[] {
  if (!isMapping(earlier)) return [];
  return Object.keys(earlier).filter(
    (name) => earlier[name] !== null && !(isMapping(merged) && name in merged),
  );
}

const lostPepper = (evidence: string[]): Finding => ({
  id: "pepper-lost",
  level: "blocker",
  sentence:
    "password_config.pepper is in a file whose password_config another file replaces, so no pepper is in effect",
  evidence,
  hint: "find out with which pepper people's passwords work, and have password_config in one file only",
});

function kindFindings({ settings, database }: Homeserver): Finding[] {
  const findings: Finding[] = [];
  const note = (level: Finding["level"], id: string, sentence: string, hint?: string) => {
    findings.push({ id, level, sentence, ...(hint === undefined ? {} : { hint }) });
  };
  const msc3861 = settingAt(settings, "experimental_features.msc3861");
  if (isMapping(msc3861) && Object.keys(msc3861).length > 0) {
    note(
      "warning",
      "config-msc3861",
      "experimental_features.msc3861 is set, with which Synapse 1.157 and later do not start",
      "install an earlier version on the new host, or change over to matrix_authentication_service before the move",
    );
  }
  if (database.kind === "sqlite")
    note("note", "database-sqlite", `the database is SQLite, at ${database.path}`);
  if (database.kind === "several") {
    note(
      "blocker",
      "database-several",
      `there are several databases: ${database.labels.join(", ")}`,
      "synlift moves a homeserver with one database",
    );
  }
  if (settings["enable_media_repo"] === false) {
    note(
      "warning",
      "media-elsewhere",
      "enable_media_repo is off: a worker or another program keeps the media",
      "if it is a worker of Synapse, its media is in media_store_path all the same; anything else must be moved by itself",
    );
  }
  return findings;
}

async function fileFindings({ setting, path, role, required }: Referenced, files: Files): Promise<Finding[]> {
  const wanted = role === "templates" ? "folder" : "file";
  const problem = await problemWith(path, wanted, files);
  if (problem === undefined) return [];
  const level = required ? "blocker" : setting === MADE_BY_SYNAPSE ? "note" : "warning";
  return [
    {
      id: `file-missing:${setting}`,
      level,
      sentence: `${setting} names ${path}, ${problem}`,
      hint: "relative paths start at the folder that Synapse runs in: check both",
    },
  ];
}

async function problemWith(
  path: string,
  wanted: "file" | "folder",
  files: Files,
): Promise<string | undefined> {
  try {
    const found = await files.follow(path);
    if (!found) return "which is not there";
    if (found.kind !== wanted) return `which is not a ${wanted}`;
    if (wanted === "folder") await files.list(path);
    else await drain(files.read(path, { to: 1 }));
    return undefined;
  } catch (error) {
    if (error instanceof MigrationError) return "which cannot be read";
    throw error;
  }
}
