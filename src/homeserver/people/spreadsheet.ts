import { csvLine } from "../../report/csv.ts";
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

export const personCsv = (person: Person) =>
  csvLine(
    CSV_COLUMNS.map(([, valueOf]) => {
      const value = valueOf(person);
      return typeof value === "number" ? value : String(value ?? "");
    }),
  );
