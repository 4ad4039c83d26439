import { MigrationError } from "../../errors.ts";
import { describeTarget } from "../../homeserver/database/target.ts";
import { formatBytes, formatCount } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { asList, nobodyToAsk, SAY_YES } from "../confirm.ts";
import type { Incoming } from "../restore/run.ts";
import type { RoadOrder } from "./order.ts";
import type { FromOld } from "./protocol.ts";

/** For people: what is about to happen on both hosts, a line each. */
export function bothHosts(
  { placing: { layout } }: Pick<RoadOrder, "placing">,
  looked: FromOld["looked"],
  { databases }: Pick<Incoming, "databases">,
): string[] {
  const media = `${formatCount(looked.mediaFiles)} media files, ${formatBytes(looked.mediaBytes)}`;
  return [
    ...looked.lines.map((line) => `on the old host: ${line}`),
    `on this host: ${databases.map(({ target }) => describeTarget(target)).join(" and ")} is filled`,
    `on this host: ${media} at most, go into ${layout.mediaDir}`,
    `on this host: the configuration and the signing key go into ${layout.configDir}, fenced until synlift open`,
  ];
}

/**
 * Asks once, unless the answer was given or nobody loses anything. Throws `homeserver-running` when the answer is no,
 * `bad-usage` when there is nobody to ask: nothing was changed on either host.
 */
export async function mustAgreeHere(
  order: Pick<RoadOrder, "rehearsal" | "yes" | "placing">,
  looked: FromOld["looked"],
  incoming: Pick<Incoming, "databases">,
  { terminal }: Pick<System, "terminal">,
): Promise<void> {
  if (order.rehearsal || order.yes || !looked.serves) return;
  const lines = bothHosts(order, looked, incoming);
  if (!terminal.interactive) throw nobodyToAsk(lines.join("; "), SAY_YES);
  const question = `${looked.subject} is taken over from its old host; people lose their server once its media is here, until the new one is open:${asList(lines)}\nGo on?`;
  if (await terminal.confirm(question)) return;
  throw new MigrationError("homeserver-running", "the server was not stopped, as you said no", {
    hint: "it goes on serving, and nothing was changed on either host",
  });
}
