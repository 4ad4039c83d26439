import type { ArtifactPlan, ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { Recorded } from "../../bundle/inventory.ts";
import { sealedName } from "../../bundle/layout.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Bytes } from "../../pipeline/stage.ts";
import type { FromOld } from "./protocol.ts";

/**
 * Sends artifacts to another host as they are made: neither encrypted, as the connection does that, nor kept. They
 * stand in the inventory like those of a bundle, but have no parts.
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

  /** What is on the other host is told apart there. */
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
