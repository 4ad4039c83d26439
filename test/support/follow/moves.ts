import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readWithOldDevice } from "../lab/encrypted-conversation.ts";
import type { NewSide, TwoSides } from "./two-sides.ts";
import type { Writer } from "./writer.ts";

/**
 * Throws unless the opened server has everything that was acknowledged and that people had before, new messages reach every room, and
 * the devices that people kept decrypt what was said.
 */
export async function mustBeWholeAt(
  { url }: Pick<NewSide, "url">,
  { server: { old } }: Pick<TwoSides, "server">,
  writer: Writer,
): Promise<void> {
  assert.ok(writer.acknowledged.length > 0, "somebody wrote");
  await writer.mustAllBeAt(url);
  await writer.canWriteInEveryRoomAt(url);
  const { people } = old;
  const bob = people.bob.at(url);
  for (const room of Object.values(people.rooms)) {
    assert.deepEqual(await bob.messages(room.id), room.messages);
    const sent = await bob.send(room.id, "after the move");
    assert.ok((await bob.events(room.id)).some(({ id }) => id === sent));
  }
  for (const { mxc, sha256, name } of people.media) {
    const { bytes } = await bob.download(mxc);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  const { roomId, texts } = people.encrypted;
  assert.deepEqual(await readWithOldDevice(url, people.alice.session, roomId), texts);
}
