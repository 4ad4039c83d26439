import type { Manifest } from "../../bundle/manifest.ts";
import type { Machine } from "../../system/machine.ts";
import type { CompleteRecord, InboxRecords } from "./inbox-records.ts";

type Records = Pick<InboxRecords, "complete" | "saveComplete" | "removeComplete">;

/** Whether a customer's bundle is complete, as it stands on disk, and whether the hook was run for it. */
export class Completion {
  readonly #records: Records;
  readonly #machine: Pick<Machine, "now">;
  #record: CompleteRecord | undefined;

  constructor(records: Records, machine: Pick<Machine, "now">) {
    this.#records = records;
    this.#machine = machine;
  }

  get record(): CompleteRecord | undefined {
    return this.#record;
  }

  async load(): Promise<void> {
    this.#record = await this.#records.complete();
  }

  /** The record of a bundle that is complete now; undefined when the hook was run for that bundle. */
  async reached({ id, subject }: Manifest): Promise<CompleteRecord | undefined> {
    const before = this.#record?.bundle === id ? this.#record : undefined;
    if (before?.told) return undefined;
    const at = new Date(this.#machine.now()).toISOString();
    const record = before ?? { bundle: id, subject, at, told: false };
    await this.#save(record);
    return record;
  }

  /** Something is missing or differs. */
  async lost(): Promise<void> {
    if (!this.#record) return;
    this.#record = undefined;
    await this.#records.removeComplete();
  }

  /** The hook was run for the bundle with that id. Nothing is kept of it when that is no longer the complete one. */
  async told(bundle: string): Promise<void> {
    if (this.#record?.bundle === bundle) await this.#save({ ...this.#record, told: true });
  }

  async #save(record: CompleteRecord): Promise<void> {
    await this.#records.saveComplete(record);
    this.#record = record;
  }
}
