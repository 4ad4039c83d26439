import { setTimeout as wait } from "node:timers/promises";
import type { RunningFollow } from "./running-follow.ts";
import type { NewSide, TwoSides } from "./two-sides.ts";
import type { Writer } from "./writer.ts";

/** Waits until Synapse has built what it begins with: until then nothing can follow by logical replication. */
export async function startedUpdatesAreDone({ server }: Pick<TwoSides, "server">): Promise<void> {
  const left = () => server.old.cluster.sql("old", "select count(*) from background_updates");
  while ((await left()) !== "0") await wait(200);
}

/** Milliseconds. */
const LIMIT = 120_000;

/** Waits until a message that is written now is in the copy, too, and the copy is looked at. */
export async function untilInCopy(
  { sql }: Pick<NewSide, "sql">,
  writer: Writer,
  running?: RunningFollow,
): Promise<void> {
  await writer.more(3);
  const { eventId } = writer.acknowledged.at(-1)!;
  // A server that was killed answers after a while.
  const has = () =>
    sql(`select count(*) from events where event_id = '${eventId}'`).then(
      (count) => count === "1",
      () => false,
    );
  for (const limit = performance.now() + LIMIT; running?.isLive() === false || !(await has());) {
    if (running?.hasEnded() === true) {
      const { code, stderr } = await running.ended;
      throw new Error(`synlift follow ended with ${code ?? "?"}: ${stderr.slice(-3000)}`);
    }
    if (performance.now() > limit) {
      const said = running ? (await running.interrupt()).stderr.slice(-3000) : "";
      throw new Error(`${eventId} is not in the copy in ${LIMIT / 1000} s\n${said}`);
    }
    await wait(100);
  }
}
