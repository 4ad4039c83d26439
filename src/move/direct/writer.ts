import type { ArtifactPlan, ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Recorded } from "../../bundle/inventory.ts";
import { sealedName } from "../../bundle/layout.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { FromOld } from "./protocol.ts";

/**
 * Sends artifacts to the new host as they are made: not encrypted, because the connection is, and not stored here. They
 * are in the inventory like those of a bundle, but have no parts.
 */
export class RoadWriter implements ArtifactWriter {
  readonly presses: boolean;
  readonly #channel: Channel;

  constructor(channel: Channel, presses: boolean) {
    this.#channel = channel;
    this.presses = presses;
  }

  add(plan: ArtifactPlan, source: Bytes): Promise<Recorded> {
    return this.#send(plan, source, false);
  }

  addPressed(plan: Omit<ArtifactPlan, "level" | "total">, source: Bytes): Promise<Recorded> {
    return this.#send(plan, source, true);
  }

  /** The new host decides what to do with what it already has. */
  remove(): Promise<void> {
    return Promise.resolve();
  }

  async #send(
    { name, format, label, total }: Omit<ArtifactPlan, "level">,
    source: Bytes,
    pressed: boolean,
  ): Promise<Recorded> {
    const message: FromOld["artifact"] = {
      ...{ type: "artifact", name, format, label, pressed },
      ...(total === undefined ? {} : { total }),
    };
    await this.#channel.say(message);
    const sent = await this.#channel.send(source);
    return { name: sealedName(name), format, ...sent, parts: [], plain: sent };
  }
}
