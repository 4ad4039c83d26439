import { MigrationError } from "../../errors.ts";
import { postgresOf } from "../../homeserver/database/source.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { type GivenKeeper, type Keeper, keeperOf } from "../../homeserver/service/keeper.ts";
import { formatBytes } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { asList, nobodyToAsk, SAY_YES } from "../confirm.ts";
import { type Databases, intentions } from "../old-server/stop-and-fence.ts";
import type { ExportSource } from "./find-source.ts";
import { mustBeDown, type Source } from "./source.ts";

export interface GivenStop extends GivenKeeper {
  readonly alreadyStopped: boolean;
  /** False leaves the host and the database as they are. */
  readonly fence: boolean;
  readonly yes: boolean;
  /** Only look: then nobody needs to be asked. */
  readonly dryRun: boolean;
}

/** What is about to be done to the old server, before anything of it is done. */
export interface StopPlan {
  readonly keeper: Keeper;
  readonly record: FenceRecord;
  readonly databases: Databases;
  readonly alive: boolean;
  readonly noFence: boolean;
  /** For people: all of it, a line each. */
  readonly lines: readonly string[];
}

/**
 * Finds out how the server is to be stopped and fenced, and whether anybody may say so. Changes nothing. Throws
 * `homeserver-running` when it is up and nobody can stop it, `bad-usage` when nobody can be asked.
 */
export async function planStop(
  given: GivenStop,
  { homeserver, launch, launches, source: config }: ExportSource,
  source: Source,
  folder: string,
  system: System,
): Promise<StopPlan> {
  const { files, machine, terminal } = system;
  const alive = source.alive.length > 0;
  if (given.alreadyStopped) mustBeDown(source.alive);
  const found = await keeperOf(given, homeserver, { launch, launches }, system);
  const made = { subject: homeserver.serverName, source: config, keeper: found };
  const record = await FenceRecord.open(folder, made, files, machine);
  // What an earlier run has fenced may not be found any more: a masked unit does not look like one.
  const keeper = found.kind === "commands" ? found : record.keeper;
  const mustAsk = alive && !given.dryRun && !terminal.interactive;
  if (mustAsk && keeper.kind === "person") mustBeDown(source.alive);
  const databases = databasesOf(source);
  const plan = { keeper, record, databases, alive, noFence: !given.fence };
  const lines = [
    ...intentions({ homeserver, ...plan }),
    `its database, ${formatBytes(source.database.size)}, and the media that came since are packed into ${folder}, and the bundle is sealed`,
  ];
  if (mustAsk && !given.yes) throw nobodyToAsk(lines.join("; "), SAY_YES);
  return { ...plan, lines };
}

const databasesOf = ({ database }: Source): Databases => ({
  postgres: postgresOf(database),
  files: database.engine === "sqlite" ? [database.path] : [],
});

/**
 * Asks once, unless the answer was given; then it only says what is about to happen. Throws `homeserver-running` when
 * the answer is no: nothing was changed.
 */
export async function mustAgree(
  { alive, lines }: StopPlan,
  { yes }: Pick<GivenStop, "yes">,
  expected: string | undefined,
  { terminal }: Pick<System, "terminal">,
  progress: Pick<Progress, "note">,
): Promise<void> {
  if (!alive) return;
  const all = [...lines, ...(expected === undefined ? [] : [expected])];
  if (yes) {
    for (const line of all) progress.note(`now: ${line}`);
    return;
  }
  const question = `People lose their server now, until the new one is open:${asList(all)}\nUntil the new one is open, synlift rollback takes it all back. Go on?`;
  if (await terminal.confirm(question)) return;
  throw new MigrationError("homeserver-running", "the server was not stopped, as you said no", {
    hint: "it goes on serving, and nothing was changed; what is packed is kept: run the same command again when it suits",
  });
}
