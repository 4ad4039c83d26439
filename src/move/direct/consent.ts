import { MigrationError } from "../../errors.ts";
import { describeTarget } from "../../homeserver/database/target.ts";
import { formatBytes, formatCount } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import type { RestoreSource } from "../restore/run.ts";
import type { FollowedPull } from "./followed/order.ts";
import type { PullOrder } from "./order.ts";
import type { OldHostMessages } from "./protocol.ts";

/** What will happen on both hosts, in words, a line each. */
export function describeTransfer(
  { target: { layout } }: Pick<PullOrder, "target">,
  source: OldHostMessages["source"],
  { databases }: Pick<RestoreSource, "databases">,
  followed: Pick<FollowedPull, "lines" | "media"> | undefined,
): string[] {
  const media = `${formatCount(source.mediaFiles)} media files, ${formatBytes(source.mediaBytes)}`;
  return [
    ...source.lines.map((line) => `on the old host: ${line}`),
    ...(followed
      ? followed.lines
      : [`on this host: ${databases.map(({ target }) => describeTarget(target)).join(" and ")} is restored`]),
    `on this host: at most ${media} are written to ${layout.mediaDir}${followed?.media ? `; ${formatBytes(followed.media.bytes)} are there already` : ""}`,
    `on this host: the configuration and the signing key are written to ${layout.configDir}, fenced until synlift open`,
  ];
}

/**
 * Asks once, unless the answer was given or there is no outage. Throws `homeserver-running` when the answer is no,
 * `bad-usage` when there is no terminal to ask on: nothing was changed on either host.
 */
export async function confirmTransfer(
  order: Pick<PullOrder, "rehearsal" | "yes" | "target">,
  source: OldHostMessages["source"],
  restored: Pick<RestoreSource, "databases">,
  followed: Pick<FollowedPull, "lines" | "media"> | undefined,
  { terminal }: Pick<System, "terminal">,
): Promise<void> {
  if (order.rehearsal || order.yes || !source.serves) return;
  const lines = describeTransfer(order, source, restored, followed);
  await confirm(
    {
      question: `${source.subject} is moved from its old host; the outage starts once its media is here, and lasts until the new server is open:${bulletList(lines)}\nContinue?`,
      consequence: lines.join("; "),
      otherwise: new MigrationError("homeserver-running", "the server was not stopped: you answered no", {
        hint: "it keeps running, and nothing was changed on either host",
      }),
    },
    { terminal },
  );
}
