import type { ArtifactPlan, ArtifactWriter } from "../../bundle/artifact-writer.ts";
import type { RecordedArtifact } from "../../bundle/inventory.ts";
import { encryptedName } from "../../bundle/layout.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { OldHostMessages } from "./protocol.ts";

/**
 * Sends artifacts to the new host as they are made: not encrypted, because the connection is, and not stored here. They
 * are in the inventory like those of a bundle, but have no parts.
 */
export class ChannelWriter implements ArtifactWriter {
  readonly usesCompressionProgram: boolean;
  readonly #channel: Channel;

  constructor(channel: Channel, compress: boolean) {
    this.#channel = channel;
    this.usesCompressionProgram = compress;
  }

  add(plan: ArtifactPlan, source: Bytes): Promise<RecordedArtifact> {
    return this.#send(plan, source, false);
  }

  addCompressed(plan: Omit<ArtifactPlan, "level" | "total">, source: Bytes): Promise<RecordedArtifact> {
    return this.#send(plan, source, true);
  }

  /** The new host decides what to do with what it already has. */
  remove(): Promise<void> {
    return Promise.resolve();
  }

  async #send(
    { name, format, label, total }: Omit<ArtifactPlan, "level">,
    source: Bytes,
    compressed: boolean,
  ): Promise<RecordedArtifact> {
    const message: OldHostMessages["artifact"] = {
      type: "artifact",
      name,
      format,
      label,
      compressed,
      ...(total === undefined ? {} : { total }),
    };
    await this.#channel.sendMessage(message);
    const sent = await this.#channel.sendStream(source);
    return { name: encryptedName(name), format, ...sent, parts: [], plain: sent };
  }
}
