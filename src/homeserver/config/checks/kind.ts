import type { Finding } from "../../../report/finding.ts";
import type { Homeserver } from "../../homeserver.ts";
import { isMapping, settingAt } from "../../settings.ts";
import { masEndpoint } from "./host.ts";

/** What kind of homeserver this is, as far as that changes the move. */
export function kindFindings(homeserver: Homeserver): Finding[] {
  const { settings, database } = homeserver;
  const findings: (Finding | undefined)[] = [
    database.kind === "sqlite" ? sqlite(database.path) : undefined,
    database.kind === "several" ? mixedDatabasesFinding(database.labels) : undefined,
    database.kind === "postgres" && database.state ? SPLIT : undefined,
    settingAt(settings, "database.allow_unsafe_locale") === true ? UNSAFE_LOCALE : undefined,
    homeserver.mas ? masFinding(homeserver) : unnamedMasFinding(masEndpoint(settings)),
    settingAt(settings, "retention.enabled") === true ? RETENTION : undefined,
    mediaRetention(settings["media_retention"]),
  ];
  return findings.filter((finding) => finding !== undefined);
}

const sqlite = (path: string): Finding => ({
  id: "database-sqlite",
  level: "note",
  sentence: `the database is SQLite, at ${path}: the file is packed and restored as SQLite`,
  hint: "restore it with --database sqlite:PATH; to change to PostgreSQL, run synlift port days before the move, or add --port to restore",
});

const mixedDatabasesFinding = (labels: readonly string[]): Finding => ({
  id: "database-mixed",
  level: "blocker",
  sentence: `there are several databases, and not all of them are on PostgreSQL: ${labels.join(", ")}`,
  hint: "port both the main and the state database to PostgreSQL first",
});

const SPLIT: Finding = {
  id: "database-split",
  level: "note",
  sentence: "the state groups are in a separate database",
  hint: "the new server needs two empty databases: pass both to restore with --database and --state-database",
};

const UNSAFE_LOCALE: Finding = {
  id: "unsafe-locale",
  level: "note",
  sentence: "database.allow_unsafe_locale is set: the database has a locale that can corrupt its indexes",
  hint: "create the new database with the locale C, which a dump can be restored into; then remove this setting",
};

/** docs/usage/configuration/matrix_authentication_service of Synapse, and the service's own pages on configuration. */
function unnamedMasFinding(endpoint: string | undefined): Finding | undefined {
  if (endpoint === undefined) return undefined;
  return {
    id: "mas",
    level: "warning",
    sentence: `people sign in through a Matrix Authentication Service at ${endpoint}, whose configuration was not named`,
    evidence: [
      "its own PostgreSQL database has the accounts, passwords and sessions",
      "secrets.encryption must stay the same, or everything encrypted with it is lost; secrets.keys too",
      "matrix.secret must stay equal to matrix_authentication_service.secret",
      "http.public_base and issuer must stay the same for clients",
    ],
    hint: "to move it too, name its configuration: --mas-config FILE; if it stays where it is, or you move it yourself, export requires --accept mas",
  };
}

function masFinding({ mas, secrets }: Homeserver): Finding {
  const [ours, theirs] = [
    secrets.find(({ setting }) => /^matrix_authentication_service\.secret$/.test(setting))?.value,
    mas?.secrets.find(({ setting }) => setting === "matrix.secret")?.value,
  ];
  const named = mas?.configPaths.join(", ") ?? "";
  if (ours !== undefined && ours !== theirs) {
    return {
      id: "mas-secret",
      level: "warning",
      sentence: `matrix.secret in ${named} is not matrix_authentication_service.secret: nobody can sign in`,
      hint: "set both to the same value, and check that people can sign in, before the move",
    };
  }
  return {
    id: "mas",
    level: "note",
    sentence: `people sign in through a Matrix Authentication Service, which is moved too: ${named}`,
    hint: "it is stopped together with Synapse; the new host needs a database for it: pass --mas-database to restore",
  };
}

const RETENTION: Finding = {
  id: "retention",
  level: "note",
  sentence: "retention is on: the server deletes old messages by itself",
  hint: "the settings are moved too; check the clock of the new host: with a wrong clock it would delete too much",
};

function mediaRetention(block: unknown): Finding | undefined {
  const kept = isMapping(block) ? Object.keys(block).filter((key) => block[key] !== null) : [];
  if (!isMapping(block) || kept.length === 0) return undefined;
  return {
    id: "media-retention",
    level: "note",
    sentence: "media_retention is set: the server deletes media that has not been accessed for some time",
    evidence: kept.map((key) => `${key}: ${String(block[key])}`),
    hint: "media that the server deletes during the export is missing from the bundle: try it with a rehearsal, or remove the setting until after the move",
  };
}
