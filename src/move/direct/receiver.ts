import { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";
import { decompress } from "../../pipeline/compress.ts";
import { reportBytes } from "../../pipeline/digest.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import { type NewHostMessages, type OldHostMessage, type OldHostMessages, parseFromOld } from "./protocol.ts";

type Artifact = OldHostMessages["artifact"];

/** What is done with the messages of the old host. */
export interface Handlers {
  /**
   * Consumes a stream to its end, all of it or nothing. `counted` returns the inventory after the stream, which must be
   * saved too.
   */
  readonly artifact: (artifact: Artifact, content: Bytes, counted: () => Promise<Inventory>) => Promise<void>;
  /** The old server is fenced, and its database is not sent. Media may still come while this is dealt with. */
  readonly fenced: (message: OldHostMessages["fenced"]) => void;
  /** Saves the inventory received so far. */
  readonly keep: (inventory: Inventory) => Promise<void>;
  /** Why an artifact of an earlier run no longer exists; undefined when it does. */
  readonly reasonMissing: (name: string) => Promise<string | undefined>;
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
  async receive(): Promise<
    Exclude<OldHostMessage, OldHostMessages["note"] | OldHostMessages["remark"] | OldHostMessages["outage"]>
  > {
    for (;;) {
      const message = parseFromOld(await this.#channel.receiveMessage());
      if (message.type === "note" || message.type === "remark" || message.type === "outage")
        this.#pass(message);
      else return message;
    }
  }

  /** Like `receive`, but of one type. Throws `connection-failed` for any other. */
  async expect<Type extends OldHostMessage["type"]>(
    type: Type,
  ): Promise<OldHostMessages[Type & keyof OldHostMessages]> {
    const message = await this.receive();
    if (message.type === type) return message as OldHostMessages[Type & keyof OldHostMessages];
    throw new MigrationError(
      "connection-failed",
      `the old host sent "${message.type}" instead of "${type}"`,
      {
        hint: "use the same version of synlift on both hosts, and run the same command again",
      },
    );
  }

  /** The announced stream, with progress. */
  async *content({ name, label, total, compressed }: Artifact): Bytes {
    const id = `receive/${name}`;
    this.#view.begin({ id, label, unit: "bytes", ...(total === undefined ? {} : { total }) });
    const tell = reportBytes((bytes) => {
      this.#view.advance(id, bytes);
    });
    const heard = (message: unknown): Promise<void> => {
      const parsed = parseFromOld(message);
      if (parsed.type === "note" || parsed.type === "remark" || parsed.type === "outage") this.#pass(parsed);
      return Promise.resolve();
    };
    const stream = this.#channel.receiveStream(heard);
    yield* tell(compressed ? decompress(stream) : stream);
    this.#view.end(id);
  }

  /** Handles messages until the old host sends `done`. Throws what the handlers throw, and errors of the old host. */
  async serve(handlers: Handlers): Promise<OldHostMessages["done"]> {
    for (;;) {
      const message = await this.receive();
      if (message.type === "done") return message;
      if (message.type === "fenced") handlers.fenced(message);
      else if (message.type === "artifact") await this.#take(message, handlers);
      else if (message.type === "inventory") {
        await handlers.keep(Inventory.parse(message.content, "what the old host counted"));
        await this.#say({ type: "kept" });
      } else if (message.type === "has") {
        const why = await handlers.reasonMissing(message.name);
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

  #pass(message: OldHostMessages["note"] | OldHostMessages["remark"] | OldHostMessages["outage"]): void {
    if (message.type === "note") this.#view.note(`on the old host: ${message.sentence}`);
    else if (message.type === "remark") {
      const { id, label = id, why } = message;
      this.#view.remark({ id, label }, why);
    } else this.#view.outage(Date.parse(message.since));
  }

  async #say(message: NewHostMessages["kept"] | NewHostMessages["there"]): Promise<void> {
    await this.#channel.sendMessage(message);
  }
}
