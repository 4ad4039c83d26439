import { coveragePercent, type Person } from "./person.ts";

/** The columns of the table for spreadsheets, in their order. Names are added at the end only. */
const CSV_COLUMNS: readonly [name: string, value: (person: Person) => string | number | boolean | null][] = [
  ["user_id", ({ userId }) => userId],
  ["kind", ({ kind }) => kind],
  ["readiness", ({ readiness }) => readiness],
  ["at_risk", ({ atRisk }) => atRisk],
  ["active", ({ active }) => active],
  ["last_seen", ({ lastSeen }) => (lastSeen === null ? null : new Date(lastSeen).toISOString())],
  ["admin", ({ admin }) => admin],
  ["locked", ({ locked }) => locked],
  ["devices", ({ devices }) => devices],
  ["encrypting_devices", ({ encryptingDevices }) => encryptingDevices],
  ["encrypted_rooms", ({ encryptedRooms }) => encryptedRooms],
  ["backup_version", ({ backup }) => backup?.version ?? null],
  ["backup_algorithm", ({ backup }) => backup?.algorithm ?? null],
  ["backup_keys", ({ backup }) => backup?.keys ?? null],
  ["coverage_percent", ({ coverage }) => coveragePercent(coverage)],
  ["sessions", ({ coverage }) => coverage?.sessions ?? null],
  ["sessions_saved", ({ coverage }) => coverage?.saved ?? null],
  ["backup_unlocks", ({ backupUnlocks }) => backupUnlocks],
  ["cross_signing", ({ crossSigning }) => crossSigning],
  ["cross_signing_stored", ({ crossSigningStored }) => crossSigningStored],
  ["opted_out", ({ optedOut }) => optedOut],
  ["dehydrated_device", ({ dehydratedDevice }) => dehydratedDevice],
];

export const CSV_HEAD = csvLine(CSV_COLUMNS.map(([name]) => name));

export const personCsv = (person: Person) => csvLine(CSV_COLUMNS.map(([, value]) => value(person)));

/** RFC 4180. A spreadsheet takes a cell that begins like a formula for one: it gets an apostrophe before it. */
function csvLine(cells: readonly (string | number | boolean | null)[]): string {
  const quoted = cells.map((cell) => {
    const text = cell === null ? "" : String(cell);
    const safe = typeof cell === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  });
  return `${quoted.join(",")}\r\n`;
}
