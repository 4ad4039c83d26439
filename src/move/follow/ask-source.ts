import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { callBySsh, type OldHost, withChannel } from "../connect.ts";
import {
  FOLLOW_PROTOCOL_VERSION,
  type FollowAnswers,
  type FollowRequests,
  parseFollowAnswer,
} from "./protocol.ts";

/** What the old host answers each request with. */
const ANSWER = { facts: "facts", prepare: "prepared", undo: "undone" } as const;

/** Starts synlift on the old host, and exchanges messages with it while `act` runs. Throws `connection-failed`, `program-missing`, `program-too-old`. */
export const withSource = <T>(
  old: OldHost,
  act: (channel: Channel) => Promise<T>,
  system: System,
  progress: Pick<Progress, "note">,
): Promise<T> =>
  withChannel(
    callBySsh(old, { option: "--source-command" }),
    async (channel) => {
      assertSameVersion((await answerOf(channel, "hello", progress)).version);
      return act(channel);
    },
    system,
  );

/**
 * Starts synlift on the old host, and asks it for one thing. Throws `connection-failed`, `program-missing`, `program-too-old`, and what
 * failed there.
 */
export function askSource<Type extends keyof typeof ANSWER>(
  old: OldHost,
  request: FollowRequests[Type] & { readonly type: Type },
  system: System,
  progress: Progress,
): Promise<FollowAnswers[(typeof ANSWER)[Type]]> {
  return withSource(
    old,
    async (channel) => {
      await channel.sendMessage(request);
      const type: (typeof ANSWER)[Type] = ANSWER[request.type];
      return answerOf(channel, type, progress);
    },
    system,
    progress,
  );
}

/** The next answer, which is of this type, with the notes before it. Throws `connection-failed` for any other. */
export async function answerOf<Type extends keyof FollowAnswers>(
  channel: Channel,
  type: Type,
  progress: Pick<Progress, "note">,
): Promise<FollowAnswers[Type]> {
  for (;;) {
    const said = parseFollowAnswer(await channel.receiveMessage());
    if (said.type === type) return said as FollowAnswers[Type];
    if (said.type !== "note")
      throw new MigrationError("connection-failed", "the old host sent an answer to another question", {
        hint: "use the same version of synlift on both hosts, and run the same command again",
      });
    progress.note(`on the old host: ${said.sentence}`);
  }
}

function assertSameVersion(theirs: number): void {
  if (theirs === FOLLOW_PROTOCOL_VERSION) return;
  throw new MigrationError(
    "program-too-old",
    `synlift on the old host speaks version ${theirs} of the messages of follow, and this one version ${FOLLOW_PROTOCOL_VERSION}`,
    { hint: "use the same version of synlift on both hosts" },
  );
}
