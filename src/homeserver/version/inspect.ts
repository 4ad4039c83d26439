import type { Finding } from "../../report/finding.ts";
import { formatDuration } from "../../report/units.ts";
import {
  compareVersions,
  isNewerThanKnown,
  KNOWN,
  oldestFor,
  schemaOf,
  type Version,
} from "../synapse-versions.ts";
import type { FoundVersion } from "./source.ts";
import type { TargetVersion } from "./target.ts";

export interface VersionFacts {
  readonly source: FoundVersion | undefined;
  /** The row of `schema_version`; undefined when the database could not be asked. */
  readonly schemaVersion: number | undefined;
  /** The row of `schema_compat_version`; undefined where there is none, as before Synapse 1.37. */
  readonly compatVersion: number | undefined;
  /** Undefined when --target was not given. */
  readonly target: TargetVersion | undefined;
}

/** The highest schema version of any Synapse older than the known ones. */
const BEFORE_KNOWN = 72;

/** Seconds. Signatures, tokens and rate limits tolerate this much; other servers reject events far in the future. */
const CLOCK_LIMIT = 60;

/** Whether source, database and target fit together, by the rules of synapse/storage/prepare_database.py. */
export function inspectVersions(facts: VersionFacts): Finding[] {
  const { source, target } = facts;
  return [
    sourceFinding(source),
    ...databaseFindings(facts),
    ...(target ? targetFindings(target, facts) : [notAsked(facts)]),
  ];
}

function sourceFinding(source: FoundVersion | undefined): Finding {
  const id = "source-version";
  if (!source) {
    return {
      id,
      level: "note",
      sentence: "the version of Synapse is unknown",
      hint: "start the server, or run synlift on the host where it is installed; or compare the versions of both hosts yourself",
    };
  }
  const { version, from } = source;
  const sentence = `this is Synapse ${version.text}`;
  const evidence = [`known from ${from}`];
  return isNewerThanKnown(version)
    ? { id, level: "note", sentence: `${sentence}, newer than any version that this synlift knows`, evidence }
    : { id, level: "ok", sentence, evidence };
}

function databaseFindings({ source, schemaVersion, compatVersion }: VersionFacts): Finding[] {
  const expected = source && schemaOf(source.version);
  if (!expected || schemaVersion === undefined) return [];
  const id = "schema-source";
  const evidence = [
    `the database has schema version ${schemaVersion}, compatible back to ${compatVersion ?? "no version that is recorded"}`,
    `Synapse ${source.version.text} has schema version ${expected.version}`,
  ];
  if (compatVersion !== undefined && compatVersion > expected.version) {
    return [
      {
        id,
        level: "warning",
        sentence: `the database was used by a newer Synapse, and ${source.version.text} would not start on it again`,
        evidence,
        hint: "find out which Synapse the server really runs with, and install that one or a newer one on the new host",
      },
    ];
  }
  if (schemaVersion === expected.version)
    return [{ id, level: "ok", sentence: "the database has the schema of its Synapse", evidence }];
  const sentence =
    schemaVersion < expected.version
      ? `the database still has an older schema than Synapse ${source.version.text}: it has not been started since that version was installed`
      : `the database has the schema of a newer Synapse than ${source.version.text}, so Synapse was downgraded`;
  return [{ id, level: "note", sentence, evidence }];
}

function notAsked({ compatVersion }: VersionFacts): Finding {
  const oldest = compatVersion === undefined ? undefined : oldestFor(compatVersion);
  return {
    id: "target-version",
    level: "note",
    sentence: `the Synapse version on the new host is unknown${oldest === undefined ? "" : `; this database needs Synapse ${oldest} or newer`}`,
    hint: "install the same version on both hosts, or name the new server: --target URL",
  };
}

function targetFindings(target: TargetVersion, facts: VersionFacts): Finding[] {
  const { url, trouble, name, version } = target;
  if (trouble !== undefined) {
    return [
      {
        id: "target-unreachable",
        level: "warning",
        sentence: `the new server at ${url} does not report its version: ${trouble}`,
        hint: "start it with an empty database before the move to check this, or compare the versions of both hosts yourself",
      },
      ...clockFindings(target),
    ];
  }
  const about = version
    ? versionFinding(version, facts)
    : {
        id: "target-not-synapse",
        level: "warning" as const,
        sentence: `the new server at ${url} calls itself ${name ?? "nothing"}, which is not Synapse`,
        hint: "check that the address leads to the new server: a bundle can only be restored for Synapse",
      };
  return [about, ...clockFindings(target)];
}

function versionFinding(version: Version, facts: VersionFacts): Finding {
  const { source, compatVersion, schemaVersion } = facts;
  const schema = schemaOf(version);
  const evidence = [
    ...(source ? [`here: Synapse ${source.version.text}`] : []),
    `on the new host: Synapse ${version.text}${schema ? `, schema version ${schema.version}` : ""}`,
    ...(compatVersion === undefined ? [] : [`the database needs schema version ${compatVersion} or higher`]),
  ];
  const highest = schema?.version ?? (isNewerThanKnown(version) ? Infinity : BEFORE_KNOWN);
  if (compatVersion !== undefined && highest < compatVersion) {
    const oldest = oldestFor(compatVersion) ?? "a newer one";
    return {
      id: "target-too-old",
      level: "blocker",
      sentence: `Synapse ${version.text} on the new host does not start on this database`,
      evidence,
      hint: `install Synapse ${source?.version.text ?? oldest} there; ${oldest} is the oldest that starts`,
    };
  }
  const id = "target-version";
  const difference = source ? compareVersions(version, source.version) : undefined;
  if (difference === 0)
    return { id, level: "ok", sentence: `the new host has the same Synapse, ${version.text}`, evidence };
  if (difference !== undefined && difference < 0) {
    return {
      id,
      level: "warning",
      sentence: `the new host has an older Synapse: ${version.text}`,
      evidence,
      hint: `it ${schema ? "starts on this database, but" : "may not start on this database, and"} downgrades are not tested by Synapse's developers: install ${source!.version.text} there`,
    };
  }
  if (!schema) {
    return {
      id,
      level: "note",
      sentence: `the new host has Synapse ${version.text}, which is newer than this synlift knows`,
      evidence: [...evidence, `known versions: ${KNOWN.from} to ${KNOWN.to}`],
      hint: "a newer Synapse upgrades the database; the same version on both hosts is safest",
    };
  }
  const steps = schemaVersion === undefined ? undefined : schema.version - schemaVersion;
  const upgrade =
    steps === undefined || steps <= 0
      ? "the schema stays as it is"
      : `it changes the schema over ${steps} version${steps === 1 ? "" : "s"} when it first starts`;
  return {
    id,
    level: "note",
    sentence: `the new host has ${source ? "a newer Synapse" : "Synapse"}: ${version.text}; ${upgrade}`,
    evidence,
    hint: "on a large database the upgrade takes time, during the outage, and cannot be undone: the same version on both hosts makes the move shorter",
  };
}

function clockFindings({ clockAhead, url }: TargetVersion): Finding[] {
  if (clockAhead === undefined) return [];
  const id = "target-clock";
  const away = Math.abs(clockAhead);
  if (away <= CLOCK_LIMIT)
    return [{ id, level: "ok", sentence: `the clocks of this host and of ${url} agree` }];
  return [
    {
      id,
      level: "warning",
      sentence: `the clock of ${url} is ${formatDuration(away)} ${clockAhead > 0 ? "ahead of" : "behind"} the one of this host`,
      hint: "synchronize both clocks, because other servers check the time of events and keys: timedatectl set-ntp true",
    },
  ];
}
