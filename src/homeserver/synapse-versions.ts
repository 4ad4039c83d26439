/** A version of Synapse. */
export interface Version {
  /** As it was reported: "1.163.0rc1 (b=develop,0123abc)". */
  readonly text: string;
  /** Major, minor, patch. */
  readonly numbers: readonly [number, number, number];
  /** A release candidate or another version that comes before the release of its numbers. */
  readonly isBefore: boolean;
}

/**
 * Parses a version as Synapse, its package or its image writes it: "1.163.2", "v1.160.0", "1.160.0-1", "1.99.0+bookworm1",
 * "1.105.0rc1", "1.157.1 (b=develop,a58ad44)". Undefined when it does not begin with numbers.
 */
export function parseVersion(text: string): Version | undefined {
  const found = /^\s*v?(?:\d+:)?(\d{1,4})\.(\d{1,5})(?:\.(\d{1,5}))?(.*)/s.exec(text);
  if (!found) return undefined;
  const [, major, minor, patch = "0", rest = ""] = found;
  return {
    text: text.trim(),
    numbers: [Number(major), Number(minor), Number(patch)],
    isBefore: /^[.~-]?(?:a|b|rc|dev)\d*/.test(rest),
  };
}

/** Below zero when the first is older, above when it is newer. */
export function compareVersions(one: Version, other: Version): number {
  for (const at of [0, 1, 2] as const) {
    const difference = one.numbers[at] - other.numbers[at];
    if (difference !== 0) return difference;
  }
  return Number(other.isBefore) - Number(one.isBefore);
}

/** Whether the version is at least this release; a release candidate of it counts too. */
export function isSince({ numbers }: Version, since: string): boolean {
  return compareVersions({ text: "", numbers, isBefore: false }, parseVersion(since)!) >= 0;
}

/** What a version of Synapse expects of its database. */
export interface Schema {
  /** SCHEMA_VERSION. */
  readonly version: number;
  /** SCHEMA_COMPAT_VERSION: a database that it has used needs a Synapse with at least this as its own version. */
  readonly compat: number;
}

/**
 * SCHEMA_VERSION and SCHEMA_COMPAT_VERSION in synapse/storage/schema/__init__.py of the releases, from this one on until
 * the next row.
 */
const SCHEMAS: readonly (readonly [from: string, version: number, compat: number])[] = [
  ["1.62", 72, 71],
  ["1.64", 72, 72],
  ["1.68", 73, 72],
  ["1.70", 73, 73],
  ["1.77", 74, 73],
  ["1.83", 76, 74],
  ["1.85", 77, 76],
  ["1.86", 78, 76],
  ["1.89", 79, 76],
  ["1.90", 80, 76],
  ["1.92", 81, 80],
  ["1.93", 82, 80],
  ["1.96", 83, 80],
  ["1.98", 83, 83],
  ["1.100", 84, 83],
  ["1.105.1", 84, 84],
  ["1.107", 85, 84],
  ["1.112", 86, 84],
  ["1.114", 87, 84],
  ["1.116", 88, 84],
  ["1.124", 89, 84],
  ["1.128", 91, 84],
  ["1.129", 92, 84],
  ["1.143", 93, 84],
  ["1.151", 94, 84],
];

/** The oldest and the newest minor version that the table was made from. */
export const KNOWN = { from: "1.62", to: "1.163" } as const;

/** Undefined for a version that is older or newer than those that are known. */
export function schemaOf(version: Version): Schema | undefined {
  if (isNewerThanKnown(version)) return undefined;
  const row = SCHEMAS.findLast(([from]) => isSince(version, from));
  return row && { version: row[1], compat: row[2] };
}

export function isNewerThanKnown({ numbers: [major, minor] }: Version): boolean {
  const [knownMajor, knownMinor] = parseVersion(KNOWN.to)!.numbers;
  return major > knownMajor || (major === knownMajor && minor > knownMinor);
}

/**
 * The oldest Synapse that starts on a database with this compat version: its own schema version must not be lower
 * (`_setup_or_upgrade`, synapse/storage/prepare_database.py). Undefined when only one newer than those known would.
 */
export function oldestFor(compat: number): string | undefined {
  return SCHEMAS.find(([, version]) => version >= compat)?.[0];
}
