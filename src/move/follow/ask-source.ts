import { MigrationError } from "../../errors.ts";
import type { Channel } from "../../pipeline/channel.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { callBySsh, withChannel } from "../connect.ts";
import {
  FOLLOW_PROTOCOL_VERSION,
  type FollowAnswers,
  type FollowRequests,
  parseFollowAnswer,
} from "./protocol.ts";

/** How synlift is started on the old host, for everything that is not only reading. */
export interface OldHost {
  /** ssh://[user@]host[:port] */
  readonly address: string;
  readonly sshConfig?: string | undefined;
  /** The command there, without its folder. */
  readonly senderCommand: string;
  readonly folder: string;
}

/** What the old host answers each request with. */
const ANSWER = { facts: "facts", prepare: "prepared", undo: "undone" } as const;

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
  const call = callBySsh({ ...old, sshConfig: old.sshConfig, option: "--source-command" });
  return withChannel(
    call,
    async (channel) => {
      const hello = await answer(channel, "hello", progress);
      assertSameVersion(hello.version);
      await channel.sendMessage(request);
      const type: (typeof ANSWER)[Type] = ANSWER[request.type];
      return answer(channel, type, progress);
    },
    system,
  );
}

async function answer<Type extends keyof FollowAnswers>(
  channel: Channel,
  type: Type,
  progress: Progress,
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
