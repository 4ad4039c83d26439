import type { PartsLeaving } from "../bundle/artifact-writer.ts";
import { isFileOfArtifact, MANIFEST } from "../bundle/layout.ts";
import type { Part } from "../bundle/manifest.ts";
import { MigrationError } from "../errors.ts";
import type { Progress } from "../system/progress.ts";
import type { System } from "../system/system.ts";
import { type KeptDestination, keepConnections } from "./kept-connections.ts";
import type { Receipts } from "./receipts.ts";
import type { Destination, Remote } from "./remote.ts";
import { type Persistence, transferEach } from "./transfer-each.ts";

/** Parts on this host's disk at a time: one that is written, and one that is sent. */
const MOST_PARTS = 2;

type Host = Pick<System, "files" | "machine" | "signal"> & { readonly progress: Progress };

/** Sends the parts of an export to a remote, one after the other, while the next one is written. */
export class SendingParts implements PartsLeaving {
  readonly #destination: Destination;
  readonly #kept: KeptDestination;
  readonly #persistence: Persistence;
  readonly #receipts: Receipts;
  readonly #host: Host;
  #here = 0;
  #sending: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #wake = new Set<() => void>();
  #have: ReadonlyMap<string, number> | undefined;

  constructor(destination: Destination, persistence: Persistence, receipts: Receipts, host: Host) {
    this.#destination = destination;
    this.#kept = keepConnections(destination);
    this.#persistence = persistence;
    this.#receipts = receipts;
    this.#host = host;
  }

  /**
   * Checks that the remote can be reached, and makes the folder with `create`. Throws what opening it throws, and `bundle-mismatch`
   * when a bundle is there that did not come from this folder.
   */
  async assertUsable({ create }: { create: boolean }): Promise<void> {
    const { address } = this.#destination;
    try {
      await this.#with(create, async (remote) => {
        const have = await remote.have(this.#host.signal);
        if (!have.has(MANIFEST) || this.#receipts.knows(address)) return;
        throw new MigrationError("bundle-mismatch", `${address} already has a bundle`, {
          hint: "choose another folder there",
        });
      });
    } catch (error) {
      if (!create && error instanceof MigrationError && error.code === "file-missing") return;
      throw error;
    }
  }

  async room(): Promise<void> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      if (this.#here < MOST_PARTS) break;
      await new Promise<void>((resolve) => this.#wake.add(resolve));
    }
    this.#here += 1;
  }

  giveUp(): void {
    this.#leave();
  }

  takeAway(part: Part, path: string): void {
    this.#sending = this.#sending
      .then(() => this.#send(part, path))
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#leave();
      });
  }

  async settled(): Promise<void> {
    await this.#sending;
    if (this.#failure) throw this.#failure.error;
  }

  /** Ends the connections: that of a part which is being sent, as soon as it ends. */
  async close(): Promise<void> {
    await this.#kept.close();
  }

  async removeThere(artifact: string): Promise<void> {
    this.#have = undefined;
    const { signal } = this.#host;
    await this.#with(true, async (remote) => {
      const names = [...(await remote.have(signal)).keys()].filter((name) =>
        isFileOfArtifact(artifact, name),
      );
      for (const name of [MANIFEST, ...names]) {
        await this.#receipts.forget(this.#destination.address, name);
        await remote.remove(name, signal);
      }
    });
  }

  async has(part: Part): Promise<boolean> {
    if (this.#receipts.find(this.#destination.address, part) === undefined) return false;
    this.#have ??= await this.#with(false, (remote) => remote.have(this.#host.signal));
    return this.#have.get(part.name) === part.size;
  }

  async #send(part: Part, path: string): Promise<void> {
    if (this.#failure) return;
    const { files, machine } = this.#host;
    const { address } = this.#destination;
    await transferEach(
      [{ ...part, path }],
      this.#kept,
      async (remote, file, attempt) => {
        const proof = await remote.put(file, attempt);
        await this.#receipts.record(address, part, proof, machine.now());
      },
      {
        ...this.#persistence,
        create: true,
        task: { id: `send/${part.name}`, label: `send ${part.name}` },
      },
      this.#host,
    );
    // Without its receipt a later run would not know that it is there.
    if (this.#receipts.unsaved) throw this.#receipts.unsaved;
    await files.remove(path);
  }

  #leave(): void {
    this.#here -= 1;
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  async #with<T>(create: boolean, act: (remote: Remote) => Promise<T>): Promise<T> {
    const remote = await this.#destination.open(this.#host.signal, { create });
    try {
      return await act(remote);
    } finally {
      await remote.close();
    }
  }
}
