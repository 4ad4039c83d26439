import {
  emptyDatabase,
  isMarked,
  markHalfFilled,
  newMark,
} from "../../../homeserver/database/fill/interrupted.ts";
import {
  detachSubscription,
  subscriptionState,
} from "../../../homeserver/database/follow/logical/subscription.ts";
import { connectIfExists } from "../../../homeserver/database/fill/inspect-target.ts";
import type { System } from "../../../system/system.ts";
import { type FollowState, readFollowState, writeFollowState } from "../state.ts";
import { addressesOf } from "./choose.ts";
import { logicalOf } from "./copy.ts";

/**
 * Ends the subscription, which would hold the slot of the old database, and marks what was copied as incomplete: from here on it is
 * none. Does nothing in a database without this subscription, unless the run that copied it ended before it was made. May be repeated.
 */
export async function releaseLogical(state: FollowState, configDir: string, system: System): Promise<void> {
  const here = logicalOf(state);
  const { postgres, machine, files } = system;
  const { role, administrator } = await addressesOf(here, system);
  const session = await connectIfExists(administrator, postgres, { writes: true });
  if (!session) return;
  try {
    const isOurs = state.stage === "copying" && here.copied !== null;
    if (!isOurs && !(await subscriptionState(session, here.subscription))) return;
    const mark = here.mark ?? newMark(machine.uuid());
    if (here.mark === null) await writeFollowState(configDir, { ...state, here: { ...here, mark } }, files);
    if (!(await isMarked(role.address, mark, postgres)))
      await markHalfFilled(role.address, { mark, from: `the database of ${state.serverName}` }, postgres);
    await detachSubscription(session, here.subscription);
  } finally {
    await session.close();
  }
}

/** Empties the copy's database: the database, its role and the password file stay. Only what has the mark of this copy. May be repeated. */
export async function emptyLogical(configDir: string, system: System): Promise<void> {
  const { postgres, machine } = system;
  const state = await readFollowState(configDir, system);
  if (!state) return;
  const here = logicalOf(state);
  if (here.mark === null) return;
  const { role } = await addressesOf(here, system);
  if (!(await isMarked(role.address, here.mark, postgres))) return;
  await emptyDatabase(role.address, { mark: here.mark, rows: undefined }, { postgres, machine });
}
