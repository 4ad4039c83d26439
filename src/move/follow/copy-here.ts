import { MigrationError } from "../../errors.ts";
import {
  resumeSubscription,
  subscriptionState,
} from "../../homeserver/database/follow/logical/subscription.ts";
import { FULL } from "../../homeserver/database/follow/free-space.ts";
import { raiseToLog, raiseToOld } from "../../homeserver/database/follow/set-up-standby.ts";
import { isRunning, lookAtData, startStandby } from "../../homeserver/database/follow/standby-server.ts";
import {
  resumeReplay,
  standbyAccount,
  standbyDatabase,
  type StandbyServer,
} from "../../homeserver/database/follow/standby.ts";
import type { Account } from "../../system/machine.ts";
import type { PostgresSession } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { addressesOf, type LogicalCopy, serverAccount } from "./logical/choose.ts";
import { slotOf } from "./logical/copy.ts";
import { watchLogical } from "./logical/watch.ts";
import type { FollowState } from "./state.ts";
import { type Watch, watchStandby } from "./watch.ts";

/** The copy on this host, of either kind. */
export interface CopyHere {
  /** Starts what follows, where it does not run. Throws `start-failed`, `disk-full`, `database-unreachable`. */
  start(): Promise<void>;
  /** Throws `database-unreachable` where it does not run. Starts nothing. */
  assertRuns(): Promise<void>;
  /** The account of this host whose server uses the tunnel. */
  account(): Promise<Account>;
  /** Follows changes of the old server that do not come with its log. */
  keepUp(old: PostgresSession): Promise<void>;
  /** With a session on the old database. The caller closes it. Changes nothing. */
  watch(old: PostgresSession): Promise<Watch>;
}

export function copyHere(state: FollowState, system: System, progress: Pick<Progress, "note">): CopyHere {
  const { here } = state;
  return here.kind === "standby"
    ? standbyHere(state, here, system, progress)
    : logicalHere(state, here, system, progress);
}

const standbyHere = (
  state: FollowState,
  server: StandbyServer,
  system: System,
  progress: Pick<Progress, "note">,
): CopyHere => ({
  start: () =>
    startStandby(server, system).catch(async (error: unknown) => {
      const raised = await raiseToLog(server, system);
      if (raised.length === 0) return withFullDisk(error, server, system);
      progress.note(raisedNote(raised));
      return startStandby(server, system);
    }),
  async assertRuns() {
    const found = await lookAtData(server, system);
    if (found.kind === "standby" && (await isRunning(server, system))) return;
    throw new MigrationError("database-unreachable", `the standby in ${server.data} does not run`, {
      hint: "synlift follow starts it again",
    });
  },
  account: () => Promise.resolve(standbyAccount(server, system.machine)),
  async keepUp(session) {
    await resumeReplay(server, system);
    const here = await system.postgres.connect(standbyDatabase(server, "postgres", system.machine));
    const raised = await raiseToOld(session, here, server, system).finally(() => here.close());
    if (raised.length > 0) progress.note(raisedNote(raised));
  },
  watch: (session) => watchStandby({ session, ...state.old }, server, system),
});

const raisedNote = (raised: readonly string[]) =>
  `the old server was given more since; so is the copy, without which it would not go on: ${raised.join(", ")}`;

function logicalHere(
  state: FollowState,
  here: LogicalCopy,
  system: System,
  progress: Pick<Progress, "note">,
): CopyHere {
  const asAdministrator = async <T>(ask: (session: PostgresSession) => Promise<T>, writes = false) => {
    const { administrator } = await addressesOf(here, system);
    const session = await system.postgres.connect(administrator, { writes });
    return ask(session).finally(() => session.close());
  };
  return {
    // One that was switched off because it failed: whoever runs the command again has cleared the cause.
    start: () =>
      asAdministrator(async (session) => {
        const found = await subscriptionState(session, here.subscription);
        if (found && !found.enabled) await resumeSubscription(session, here.subscription);
      }, true),
    assertRuns: () => asAdministrator(() => Promise.resolve()),
    keepUp: () => Promise.resolve(),
    account: () => asAdministrator((session) => serverAccount(session, system)),
    watch: (session) => watchLogical(session, { here, slot: slotOf(state) }, system, progress),
  };
}

async function withFullDisk(error: unknown, { data }: StandbyServer, { files }: System): Promise<never> {
  const { free } = await files.diskSpace(data);
  if (free >= FULL) throw error;
  throw new MigrationError("disk-full", `the disk with ${data} is full, and so the standby does not run`, {
    hint: "make room there: it goes on by itself. The old server keeps its log for the copy meanwhile, within its limit",
    cause: error,
  });
}
