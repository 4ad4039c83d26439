import { join } from "node:path";
import { Inventory } from "../../bundle/inventory.ts";
import { INVENTORY } from "../../bundle/layout.ts";
import { generatePassphrase } from "../../bundle/passphrase.ts";
import { MigrationError } from "../../errors.ts";
import { EncryptionAhead, type EncryptionKeys } from "../../pipeline/encrypt.ts";
import type { System } from "../../system/system.ts";

/** File with the inventory's passphrase, next to it. */
export const INVENTORY_PASSPHRASE = "inventory.passphrase";

/**
 * The new host's copy of the old host's inventory, for a repeated run and for `open`. It is encrypted as in a bundle; the
 * passphrase is next to it.
 */
export class InventoryCopy {
  inventory: Inventory;
  readonly #folder: string;
  readonly #system: System;
  #lock: EncryptionKeys | undefined;

  private constructor(
    inventory: Inventory,
    folder: string,
    lock: EncryptionKeys | undefined,
    system: System,
  ) {
    this.inventory = inventory;
    this.#folder = folder;
    this.#lock = lock;
    this.#system = system;
  }

  /** The inventory that an earlier run saved in a folder, or an empty one. Writes nothing. Throws `rehearsal-refused`, `bundle-damaged`. */
  static async open(folder: string, rehearsal: boolean, system: System): Promise<InventoryCopy> {
    const { files, gpg, machine } = system;
    const [path, secret] = [join(folder, INVENTORY), join(folder, INVENTORY_PASSPHRASE)];
    if (!(await files.lstat(path)) || !(await files.lstat(secret)))
      return new InventoryCopy(Inventory.begin(machine, rehearsal), folder, undefined, system);
    const lock = { gpg, passphrase: (await files.readText(secret)).trimEnd(), isRandom: true };
    const inventory = await Inventory.read(files.read(path), lock, path);
    if (inventory.rehearsal === rehearsal) return new InventoryCopy(inventory, folder, lock, system);
    throw new MigrationError(
      "target-not-empty",
      `${folder} was started for ${inventory.rehearsal ? "a rehearsal" : "a real move"}, and this is ${rehearsal ? "a rehearsal" : "a real move"}`,
      { hint: "choose another --config-dir, another database and another --media-dir" },
    );
  }

  /** Saves the inventory, atomically. */
  async keep(inventory: Inventory): Promise<void> {
    if (inventory.id !== this.inventory.id) {
      throw new MigrationError("connection-failed", "the old host sent the inventory of another move", {
        hint: "run the same command again",
      });
    }
    const { files } = this.#system;
    this.#lock ??= await this.#newLock();
    await inventory.save(this.#folder, new EncryptionAhead(this.#lock), files);
    this.inventory = inventory;
  }

  async #newLock(): Promise<EncryptionKeys> {
    const { files, gpg, machine } = this.#system;
    const passphrase = generatePassphrase((bytes) => machine.random(bytes));
    await files.writeAtomically(join(this.#folder, INVENTORY_PASSPHRASE), `${passphrase}\n`);
    return { gpg, passphrase, isRandom: true };
  }
}
