import { MigrationError } from "../../../errors.ts";
import { copySequences, waitForApplied } from "../../../homeserver/database/follow/logical/applied.ts";
import {
  detachSubscription,
  pauseSubscription,
  resumeSubscription,
  subscriptionState,
} from "../../../homeserver/database/follow/logical/subscription.ts";
import { ONE_TIME_KEYS } from "../../../homeserver/scope.ts";
import type { PostgresAddress, PostgresSession } from "../../../system/postgres/postgres.ts";
import type { System } from "../../../system/system.ts";
import { addressesOf, type LogicalCopy } from "../../follow/logical/choose.ts";
import { slotOf } from "../../follow/logical/copy.ts";
import type { FollowState } from "../../follow/state.ts";
import { oldDatabase } from "../../follow/tunnel.ts";
import type { RestoreTarget } from "../../restore/run.ts";
import type { FollowingCopy } from "./following-copy.ts";

/** Milliseconds without any progress, after which the cut-over fails. */
const PATIENCE_MS = 120_000;
/** Milliseconds between two looks at a worker that ends. */
const POLL_MS = 50;

/** The database that follows by logical replication. The tunnel to the old one must be open for all but `follows`. */
export async function logicalCopy(
  state: FollowState,
  here: LogicalCopy,
  { database }: Pick<RestoreTarget, "database">,
  configDir: string,
  system: System,
): Promise<FollowingCopy> {
  const { postgres, machine, signal } = system;
  const { administrator } = await addressesOf(here, system);
  const target = targetIn(database, here);
  const owner = here.target["user"];
  const asked = async <T>(address: PostgresAddress, ask: (session: PostgresSession) => Promise<T>) => {
    const session = await postgres.connect(address, { writes: true });
    return ask(session).finally(() => session.close());
  };
  const old = <T>(ask: (session: PostgresSession) => Promise<T>) => asked(oldDatabase(state, configDir), ask);
  const { subscription } = here;
  const resume = () =>
    asked(administrator, async (session) => {
      const found = await subscriptionState(session, subscription);
      if (found && !found.enabled) await resumeSubscription(session, subscription);
    });
  return {
    ofWholeServer: false,
    databases: [{ store: "main", oldName: state.old.database, target, administrator, owner }],
    covers: (table) => !table.endsWith(`.${ONE_TIME_KEYS}`),
    follows: () =>
      asked(administrator, async (session) => (await subscriptionState(session, subscription)) !== undefined),
    reach: (position) =>
      old((session) =>
        waitForApplied(session, { slot: slotOf(state), position, patience: PATIENCE_MS, machine, signal }),
      ),
    async pause() {
      await asked(administrator, async (session) => {
        await pauseSubscription(session, subscription);
        while ((await subscriptionState(session, subscription))?.running === true)
          await machine.wait(POLL_MS, signal);
      });
      return resume;
    },
    resume,
    async detach() {
      // Before the subscription goes: a run that is killed between the two does both again.
      await old((source) => asked(target, (session) => copySequences(source, session)));
      await asked(administrator, (session) => detachSubscription(session, subscription));
    },
  };
}

/** Throws `bad-usage` when the new server would get another database than the copy. */
function targetIn(database: RestoreTarget["database"], { target }: LogicalCopy): PostgresAddress {
  const name = target["dbname"] ?? "";
  if (database.engine === "postgres" && database.address.parameters["dbname"] === name)
    return database.address;
  throw new MigrationError("bad-usage", `--database: the copy that follows is the database ${name}`, {
    hint: "give the same address as with synlift follow",
  });
}
