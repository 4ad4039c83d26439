import { join } from "node:path";
import { Inventory } from "../../bundle/inventory.ts";
import { INVENTORY } from "../../bundle/layout.ts";
import { makePassphrase } from "../../bundle/passphrase.ts";
import { MigrationError } from "../../errors.ts";
import type { Lock } from "../../pipeline/encrypt.ts";
import type { System } from "../../system/system.ts";

/** Beside the inventory that it opens, and the configuration's own secrets. */
export const KEPT_PASSPHRASE = "inventory.passphrase";

/**
 * What the new host keeps of what was counted on the old one: for a run that goes on, and for `open`. As in a bundle it
 * is encrypted; the passphrase lies beside it.
 */
export class Kept {
  inventory: Inventory;
  readonly #folder: string;
  readonly #system: System;
  #lock: Lock | undefined;

  private constructor(inventory: Inventory, folder: string, lock: Lock | undefined, system: System) {
    this.inventory = inventory;
    this.#folder = folder;
    this.#lock = lock;
    this.#system = system;
  }

  /** What an earlier run has kept in a folder, or an empty one. Writes nothing. Throws `rehearsal-refused`, `bundle-damaged`. */
  static async open(folder: string, rehearsal: boolean, system: System): Promise<Kept> {
    const { files, gpg, machine } = system;
    const [path, secret] = [join(folder, INVENTORY), join(folder, KEPT_PASSPHRASE)];
    if (!(await files.look(path)) || !(await files.look(secret)))
      return new Kept(Inventory.begin(machine, rehearsal), folder, undefined, system);
    const lock = { gpg, passphrase: (await files.readText(secret)).trimEnd(), isRandom: true };
    const inventory = await Inventory.read(files.read(path), lock, path);
    if (inventory.rehearsal === rehearsal) return new Kept(inventory, folder, lock, system);
    throw new MigrationError(
      "target-not-empty",
      `${folder} was begun for ${inventory.rehearsal ? "a rehearsal" : "a move for good"}, and this is ${rehearsal ? "a rehearsal" : "none"}`,
      { hint: "choose another --config-dir, another database and another --media-dir" },
    );
  }

  /** Writes down what is known now, whole or not at all. */
  async keep(inventory: Inventory): Promise<void> {
    if (inventory.id !== this.inventory.id) {
      throw new MigrationError("connection-failed", "the old host tells of another move than this one", {
        hint: "run the same command again",
      });
    }
    const { files } = this.#system;
    this.#lock ??= await this.#newLock();
    await inventory.save(this.#folder, this.#lock, files);
    this.inventory = inventory;
  }

  async #newLock(): Promise<Lock> {
    const { files, gpg, machine } = this.#system;
    const passphrase = makePassphrase((bytes) => machine.random(bytes));
    await files.writeWhole(join(this.#folder, KEPT_PASSPHRASE), `${passphrase}\n`);
    return { gpg, passphrase, isRandom: true };
  }
}
