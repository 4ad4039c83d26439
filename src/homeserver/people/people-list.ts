import type { Person } from "./person.ts";

/** People that are kept by name in one result. Above it they would fill memory; a file of rows has no such limit. */
export const MAX_LISTED = 10_000;

/** The people that a result lists: those at risk, or everybody. */
export class PeopleList {
  readonly listed: Person[] = [];
  /** User ids of all those at risk. */
  readonly atRisk: string[] = [];
  readonly #everybody: boolean;
  #omitted = 0;

  constructor(everybody: boolean) {
    this.#everybody = everybody;
  }

  /** How many would have been listed beside those that are. */
  get omitted(): number {
    return this.#omitted;
  }

  add(person: Person): void {
    if (person.atRisk) this.atRisk.push(person.userId);
    if (!this.#everybody && !person.atRisk) return;
    if (this.listed.length < MAX_LISTED) this.listed.push(person);
    else this.#omitted++;
  }
}
