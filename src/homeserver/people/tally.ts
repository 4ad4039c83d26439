import type { Kind, Person, Readiness } from "./person.ts";

/** How many there are. What has no name of its own counts people alone: no guests, bots, support or bridged accounts. */
export interface PeopleCounts {
  readonly people: number;
  /** Seen within 30 days. */
  readonly active: number;
  readonly admins: number;
  readonly notNeeded: number;
  readonly ready: number;
  readonly partial: number;
  readonly none: number;
  readonly optedOut: number;
  /** Would lose messages at a sign-out: partial, none and opted out. */
  readonly atRisk: number;
  readonly atRiskActive: number;
  /** Of those at risk: with one device only, so no other one holds their keys. */
  readonly atRiskSingleDevice: number;
  /** In encrypted rooms, without cross-signing. */
  readonly withoutCrossSigning: number;
  /** Of those with a backup: a new device would not find its key in secret storage. */
  readonly backupLocked: number;
  readonly support: number;
  readonly bots: number;
  readonly guests: number;
  readonly appservice: number;
  readonly deactivated: number;
  /** Accounts of any kind that have a dehydrated device. */
  readonly dehydrated: number;
}

const NONE: PeopleCounts = {
  people: 0,
  active: 0,
  admins: 0,
  notNeeded: 0,
  ready: 0,
  partial: 0,
  none: 0,
  optedOut: 0,
  atRisk: 0,
  atRiskActive: 0,
  atRiskSingleDevice: 0,
  withoutCrossSigning: 0,
  backupLocked: 0,
  support: 0,
  bots: 0,
  guests: 0,
  appservice: 0,
  deactivated: 0,
  dehydrated: 0,
};

const COUNTED_AS: Readonly<Record<Readiness, keyof PeopleCounts>> = {
  "not-needed": "notNeeded",
  ready: "ready",
  partial: "partial",
  none: "none",
  "opted-out": "optedOut",
};

const OTHER_KINDS: Readonly<Record<Exclude<Kind, "person">, keyof PeopleCounts>> = {
  support: "support",
  bot: "bots",
  guest: "guests",
  appservice: "appservice",
};

/** Names that are kept as examples; the counts know all. */
const NAMED = 20;

/** Counts people as they go by. */
export class PeopleTally {
  readonly #counts: { -readonly [name in keyof PeopleCounts]: number };
  /** Some of those at risk, the first that went by. */
  readonly examples: Person[] = [];
  /** Null when the coverage of backups was not measured. */
  readonly coverageDays: number | null;

  constructor(deactivated: number, coverageDays: number | null) {
    this.#counts = { ...NONE, deactivated };
    this.coverageDays = coverageDays;
  }

  get counts(): PeopleCounts {
    return this.#counts;
  }

  add(person: Person): void {
    const counts = this.#counts;
    if (person.dehydratedDevice) counts.dehydrated++;
    if (person.kind !== "person") {
      counts[OTHER_KINDS[person.kind]]++;
      return;
    }
    counts.people++;
    counts[COUNTED_AS[person.readiness]]++;
    if (person.active) counts.active++;
    if (person.admin) counts.admins++;
    if (person.encryptedRooms > 0 && !person.crossSigning) counts.withoutCrossSigning++;
    if (person.encryptedRooms > 0 && person.backup && !person.backupUnlocks) counts.backupLocked++;
    if (!person.atRisk) return;
    counts.atRisk++;
    if (person.active) counts.atRiskActive++;
    if (person.encryptingDevices === 1) counts.atRiskSingleDevice++;
    if (this.examples.length < NAMED) this.examples.push(person);
  }
}
