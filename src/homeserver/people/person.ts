/** Who an account belongs to, as Synapse's `users` table tells it. */
export type Kind = "person" | "support" | "bot" | "guest" | "appservice";

/**
 * What would become of somebody's encrypted messages if all their devices had to sign in again.
 *
 * - `not-needed`: in no encrypted room, or no device and no backup that could hold a key
 * - `ready`: backup, a complete way to unlock it, and enough of the keys in it
 * - `partial`: a backup that lags behind, or whose key a new device would not find in secret storage
 * - `none`: no backup
 * - `opted-out`: told their client that they want none
 */
export type Readiness = "not-needed" | "ready" | "partial" | "none" | "opted-out";

/** An account that was not deactivated, as far as encryption and log-ins go. */
export interface Person {
  /** "@alice:example.org" */
  readonly userId: string;
  readonly kind: Kind;
  readonly admin: boolean;
  /** Locked by an administrator: cannot use the account. False where the schema has no locks yet. */
  readonly locked: boolean;
  /** Log-ins; neither cross-signing keys nor a dehydrated device are among them. */
  readonly devices: number;
  /** Those of them that uploaded keys, and so may hold keys of rooms. */
  readonly encryptingDevices: number;
  /** Milliseconds since 1970; null when never, or longer ago than Synapse remembers. */
  readonly lastSeen: number | null;
  /** Seen within 30 days. */
  readonly active: boolean;
  /** Encrypted rooms they are in now. */
  readonly encryptedRooms: number;
  /** The newest backup that was not deleted; clients write to no other. */
  readonly backup: Backup | null;
  /** Null when it was not measured, or there is no backup. */
  readonly coverage: Coverage | null;
  /** A new device finds the backup's key in secret storage, under the default key. */
  readonly backupUnlocks: boolean;
  /** Master, self-signing and user-signing key are on the server. */
  readonly crossSigning: boolean;
  /** The private parts of those keys are in secret storage, under the default key. */
  readonly crossSigningStored: boolean;
  readonly optedOut: boolean;
  /** A dehydrated device (MSC3814) collects keys for them while they are away. */
  readonly dehydratedDevice: boolean;
  readonly readiness: Readiness;
  /** Would lose messages at a sign-out; people only. */
  readonly atRisk: boolean;
}

interface Backup {
  readonly version: number;
  readonly algorithm: string;
  /** Keys of rooms in it. In a summary only whether there are any: 0 or 1. */
  readonly keys: number;
}

/** Sessions of the time that was looked at. */
export interface Coverage {
  /** Distinct sessions of messages that were sent in rooms while the person was in them. */
  readonly sessions: number;
  /** Those of them whose key is in the backup. */
  readonly saved: number;
}

/**
 * Share of the sessions that makes a backup good enough. Not all of them: some keys were never meant for everybody, and
 * what was said in the last minutes is still on its way into the backup.
 */
export const ENOUGH = 0.9;

/** Milliseconds within which somebody who was seen counts as active. */
export const ACTIVE_TIME = 30 * 24 * 3600_000;

export function readinessOf(
  facts: Pick<
    Person,
    "encryptedRooms" | "encryptingDevices" | "backup" | "coverage" | "backupUnlocks" | "optedOut"
  >,
): Readiness {
  const { encryptedRooms, encryptingDevices, backup, optedOut, backupUnlocks } = facts;
  if (encryptedRooms === 0) return "not-needed";
  if (!backup && encryptingDevices === 0) return "not-needed";
  if (optedOut) return "opted-out";
  if (!backup) return "none";
  return backupUnlocks && isFull(backup, facts.coverage) ? "ready" : "partial";
}

/** Whole percents, rounded down; null where nothing was said that could be missing. */
export function coveragePercent(coverage: Coverage | null): number | null {
  if (!coverage || coverage.sessions === 0) return null;
  return Math.floor((coverage.saved / coverage.sessions) * 100);
}

function isFull({ keys }: Backup, coverage: Coverage | null): boolean {
  if (!coverage) return keys > 0;
  return coverage.saved >= coverage.sessions * ENOUGH;
}
