import { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";
import { decompress } from "../../pipeline/compress.ts";
import { meter } from "../../pipeline/measure.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { type AnyFromOld, type FromNew, type FromOld, parseFromOld } from "./protocol.ts";

type Artifact = FromOld["artifact"];

/** What is done with the messages of the old host. */
export interface Handlers {
  /**
   * Consumes a stream to its end, all of it or nothing. `counted` returns the inventory after the stream, which must be
   * saved too.
   */
  readonly artifact: (artifact: Artifact, content: Bytes, counted: () => Promise<Inventory>) => Promise<void>;
  /** Saves the inventory received so far. */
  readonly keep: (inventory: Inventory) => Promise<void>;
  /** Why an artifact of an earlier run no longer exists; undefined when it does. */
  readonly whyNotThere: (name: string) => Promise<string | undefined>;
}

/** The new host's side of the protocol: receives messages one after another, and passes them on. */
export class Receiver {
  readonly #channel: Channel;
  readonly #view: ProgressView;

  constructor(channel: Channel, view: ProgressView) {
    this.#channel = channel;
    this.#view = view;
  }

  /** The next message that is not a note, remark or outage. */
  async hear(): Promise<Exclude<AnyFromOld, FromOld["note"] | FromOld["remark"] | FromOld["outage"]>> {
    for (;;) {
      const message = parseFromOld(await this.#channel.hear());
      if (message.type === "note" || message.type === "remark" || message.type === "outage")
        this.#pass(message);
      else return message;
    }
  }

  /** Like `hear`, but of one type. Throws `connection-failed` for any other. */
  async expect<Type extends AnyFromOld["type"]>(type: Type): Promise<FromOld[Type & keyof FromOld]> {
    const message = await this.hear();
    if (message.type === type) return message as FromOld[Type & keyof FromOld];
    throw new MigrationError(
      "connection-failed",
      `the old host sent "${message.type}" instead of "${type}"`,
      {
        hint: "use the same version of synlift on both hosts, and run the same command again",
      },
    );
  }

  /** The announced stream, with progress. */
  async *content({ name, label, total, pressed }: Artifact): Bytes {
    const id = `receive/${name}`;
    this.#view.begin({ id, label, unit: "bytes", ...(total === undefined ? {} : { total }) });
    const tell = meter((bytes) => {
      this.#view.advance(id, bytes);
    });
    const heard = (message: unknown): Promise<void> => {
      const parsed = parseFromOld(message);
      if (parsed.type === "note" || parsed.type === "remark" || parsed.type === "outage") this.#pass(parsed);
      return Promise.resolve();
    };
    const stream = this.#channel.receive(heard);
    yield* tell(pressed ? decompress(stream) : stream);
    this.#view.end(id);
  }

  /** Handles messages until the old host sends `done`. Throws what the handlers throw, and errors of the old host. */
  async serve(handlers: Handlers): Promise<FromOld["done"]> {
    for (;;) {
      const message = await this.hear();
      if (message.type === "done") return message;
      if (message.type === "artifact") await this.#take(message, handlers);
      else if (message.type === "inventory") {
        await handlers.keep(Inventory.parse(message.content, "what the old host counted"));
        await this.#say({ type: "kept" });
      } else if (message.type === "has") {
        const why = await handlers.whyNotThere(message.name);
        await this.#say({ type: "there", ...(why === undefined ? {} : { why }) });
      } else
        throw new MigrationError("connection-failed", `the old host sent "${message.type}" too late`, {
          hint: "use the same version of synlift on both hosts, and run the same command again",
        });
    }
  }

  async #take(artifact: Artifact, { artifact: take }: Handlers): Promise<void> {
    const seen: { counted: boolean } = { counted: false };
    await take(artifact, this.content(artifact), async () => {
      const { content } = await this.expect("inventory");
      seen.counted = true;
      return Inventory.parse(content, "what the old host counted");
    });
    // The old host waits for this until all of it is on disk, not only the inventory.
    if (seen.counted) await this.#say({ type: "kept" });
  }

  #pass(message: FromOld["note"] | FromOld["remark"] | FromOld["outage"]): void {
    if (message.type === "note") this.#view.note(`on the old host: ${message.sentence}`);
    else if (message.type === "remark") {
      const { id, label = id, why } = message;
      this.#view.remark({ id, label }, why);
    } else this.#view.outage(Date.parse(message.since));
  }

  async #say(message: FromNew["kept"] | FromNew["there"]): Promise<void> {
    await this.#channel.say(message);
  }
}
