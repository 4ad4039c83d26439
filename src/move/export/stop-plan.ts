import { postgresOf } from "../../homeserver/database/source.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import {
  findSupervisor,
  type Supervisor,
  type SupervisorOptions,
} from "../../homeserver/service/supervisor.ts";
import { formatBytes } from "../../report/units.ts";
import type { System } from "../../system/system.ts";
import { consentRequired } from "../confirm.ts";
import { assertCanAnswer, type MaintenanceAtStop } from "../old-server/maintenance-at-stop.ts";
import { type Databases, describeStopAndFence } from "../old-server/stop-and-fence.ts";
import type { ExportSource } from "../old-server/find-source.ts";
import { assertDown, type SourceState } from "./source.ts";

export interface GivenStop extends SupervisorOptions {
  readonly alreadyStopped: boolean;
  /** False leaves the host and the database unchanged. */
  readonly fence: boolean;
  readonly yes: boolean;
  /** Undefined: the web server is left alone. */
  readonly maintenance: MaintenanceAtStop | undefined;
  /** A dry run asks nothing. */
  readonly dryRun: boolean;
}

/** What will be done to the old server. */
export interface StopPlan {
  readonly supervisor: Supervisor;
  readonly record: FenceRecord;
  readonly databases: Databases;
  readonly alive: boolean;
  readonly noFence: boolean;
  readonly maintenance: MaintenanceAtStop | undefined;
  /** All of it in words, a line each. */
  readonly lines: readonly string[];
}

/**
 * Finds out how the server will be stopped and fenced, and whether consent can be asked for. Changes nothing. Throws
 * `homeserver-running` when it runs and nothing can stop it, `bad-usage` when there is no terminal to ask on.
 */
export async function planStop(
  given: GivenStop,
  { homeserver, launch, launches, source: config }: ExportSource,
  source: SourceState,
  folder: string,
  system: System,
): Promise<StopPlan> {
  const { files, machine, terminal } = system;
  const alive = source.alive.length > 0;
  if (given.alreadyStopped) assertDown(source.alive);
  const found = await findSupervisor(given, homeserver, { launch, launches }, system);
  const made = { subject: homeserver.serverName, source: config, supervisor: found };
  const record = await FenceRecord.open(folder, made, files, machine);
  // What an earlier run has fenced may no longer be found: a masked unit is not recognized.
  const supervisor = found.kind === "commands" ? found : record.supervisor;
  const mustAsk = alive && !given.dryRun && !terminal.interactive;
  if (mustAsk && supervisor.kind === "person") assertDown(source.alive);
  const databases = databasesOf(source);
  const { maintenance } = given;
  if (maintenance) await assertCanAnswer(maintenance, system);
  const plan = { supervisor, record, databases, alive, noFence: !given.fence, maintenance };
  const lines = [
    ...describeStopAndFence({ homeserver, ...plan }),
    `its database, ${formatBytes(source.database.size)}, and the media added since are packed into ${folder}, and the bundle is sealed`,
  ];
  if (mustAsk && !given.yes) throw consentRequired(lines.join("; "));
  return { ...plan, lines };
}

const databasesOf = ({ database }: SourceState): Databases => ({
  postgres: postgresOf(database),
  files: database.engine === "sqlite" ? [database.path] : [],
});
