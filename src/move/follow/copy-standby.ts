import { copyOldServer, endCopies } from "../../homeserver/database/follow/base-backup.ts";
import { assertPortFree } from "../../homeserver/database/follow/standby-port.ts";
import { setUpStandby, type StandbySource } from "../../homeserver/database/follow/set-up-standby.ts";
import { standbyFindings } from "../../homeserver/database/follow/standby-findings.ts";
import {
  assertIsCopy,
  clusterExists,
  createCluster,
  createDataFolder,
  emptyFolder,
  isComplete,
  startStandby,
  stopStandby,
} from "../../homeserver/database/follow/standby-server.ts";
import { standbyAccount, type StandbyServer } from "../../homeserver/database/follow/standby.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { Begun } from "./begin.ts";
import type { FollowOrder } from "./order.ts";
import { type FollowState, standbyOf, writeFollowState } from "./state.ts";
import { connectToOld, oldDatabase, oldServerForServer, openTunnel } from "./tunnel.ts";

/**
 * Makes the standby and starts it, unless it was made by an earlier run. What an earlier run left in part is removed, and copied again.
 * Throws what a copy throws, `target-not-empty`, `start-failed`.
 */
export async function copyStandby(
  { state }: Begun,
  order: FollowOrder,
  system: System,
  progress: Progress,
): Promise<{ state: FollowState; findings: readonly Finding[] }> {
  const server = standbyOf(state);
  if (state.stage !== "copying") {
    await writeFollowState(order.configDir, state, system.files);
    return { state, findings: [] };
  }
  const tunnel = await openTunnel(state, order.configDir, standbyAccount(server, system.machine), system);
  try {
    const old = oldDatabase(state, order.configDir);
    const logins = loginsOf(state);
    // Before anything is made here: it says best why the old server does not answer.
    await (await connectToOld(state, order.configDir, system)).close();
    await fill(state, order, server, system, progress);
    const source: StandbySource = {
      old,
      oldForServer: oldServerForServer(state),
      slot: state.old.slot,
      systemIdentifier: state.old.systemIdentifier,
      logins: logins.map((one) => ({
        ...one,
        hasAccount: system.machine.account(one.role) !== undefined,
      })),
    };
    const settings = await setUpStandby(source, server, system);
    await startStandby(server, system);
    const findings = [...settings, ...(await standbyFindings(server, old, rolesOf(logins), system))];
    // Last: what a connection that broke has kept from being seen is looked at by the next run.
    const following: FollowState = { ...state, stage: "following" };
    await writeFollowState(order.configDir, following, system.files);
    progress.note(`the copy of ${state.serverName} is complete, and follows the old server`);
    return { state: following, findings };
  } finally {
    await tunnel.close();
  }
}

/** As whom Synapse logs in to each of its databases. */
function loginsOf({ old }: FollowState): { database: string; role: string }[] {
  const { synapseRole, database, stateDatabase, stateRole = synapseRole } = old;
  return [
    ...(synapseRole === undefined ? [] : [{ database, role: synapseRole }]),
    ...(stateDatabase === undefined || stateRole === undefined
      ? []
      : [{ database: stateDatabase, role: stateRole }]),
  ];
}

const rolesOf = (logins: readonly { role: string }[]) => [...new Set(logins.map(({ role }) => role))];

/** Fills the data folder, unless an earlier run did and only did not come to start it. */
async function fill(
  state: FollowState,
  order: FollowOrder,
  server: StandbyServer,
  system: System,
  progress: Progress,
): Promise<void> {
  const { old } = state;
  await endCopies(server, system);
  await assertIsCopy(server, old.systemIdentifier, system);
  if (await isComplete(server, system)) return;
  await stopStandby(server, system);
  await assertPortFree(server, system);
  const { cluster } = server;
  if (cluster && !(await clusterExists(cluster, system))) await createCluster({ ...server, cluster }, system);
  else if (!cluster) await createDataFolder(server, system);
  await emptyFolder(server.data, system);
  await copyOldServer(
    {
      old: oldDatabase(state, order.configDir),
      oldForServer: oldServerForServer(state),
      slot: old.slot,
      checkpoint: order.checkpoint,
      maxRate: order.maxRate,
    },
    server,
    system,
    progress,
  );
}
