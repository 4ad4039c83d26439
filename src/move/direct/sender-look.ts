import { join } from "node:path";
import { LOCK } from "../../bundle/layout.ts";
import { describeDatabase } from "../../homeserver/database/source.ts";
import { assertNoMas } from "../../homeserver/mas/find.ts";
import { BACKUP_ONLY } from "../../homeserver/media/pack/choice.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import { assertLockFree } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import { noProgress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { assertSpaceForPrivateCopy } from "../disk-space.ts";
import { checkAccounts } from "../export/accounts.ts";
import { type ExportSource, findExportSource } from "../old-server/find-source.ts";
import { tryOutSchema } from "../export/schema-trial.ts";
import {
  assertNoOtherPrograms,
  assertRegularFiles,
  assertRowsRestorable,
  inspectSource,
  sourceFindings,
  type SourceState,
} from "../export/source.ts";
import { type GivenStop, planStop, type StopPlan } from "../export/stop-plan.ts";
import { describeStopAndFence } from "../old-server/stop-and-fence.ts";
import type { OldHostMessages } from "./protocol.ts";

/** The options of a sending run. */
export interface SendOrder {
  readonly given: GivenSource;
  /** The folder for journal and fence record. */
  readonly folder: string;
  readonly stop: GivenStop;
  readonly accepted: readonly string[];
  /** A server where the schema is tried in a throw-away database. */
  readonly tryOn: PostgresAddress | undefined;
}

export interface SendLook {
  readonly found: ExportSource;
  readonly source: SourceState;
  /** Undefined for a rehearsal. */
  readonly plan: StopPlan | undefined;
  readonly findings: readonly Finding[];
}

/** Like `lookBeforeExport`, but consent is asked for on the new host. Throws what the checks throw. */
export async function lookBeforeSending(
  { given, folder, stop, accepted, tryOn }: SendOrder,
  { rehearsal, dryRun, followed }: { rehearsal: boolean; dryRun: boolean; followed: boolean },
  system: System,
): Promise<SendLook> {
  if (!dryRun) await assertLockFree(join(folder, LOCK), system.files, system.machine);
  const found = await findExportSource({ ...given, withoutMas: true }, folder, system);
  const { homeserver } = found;
  assertNoMas(homeserver, accepted);
  const accounts = checkAccounts(homeserver, accepted);
  const source = await inspectSource(homeserver, BACKUP_ONLY, accepted, system);
  // Nothing of a copy that follows is restored.
  if (!followed) await assertRowsRestorable(source, system, noProgress);
  const agreed = { ...stop, yes: true, dryRun };
  if (!rehearsal) await assertNoOtherPrograms(source, system);
  const plan = rehearsal ? undefined : await planStop(agreed, found, source, folder, system);
  assertRegularFiles(source.media, homeserver.mediaStore, accepted);
  const tried = await tryOutSchema({ tryOn, accepted }, source, system, noProgress);
  if (rehearsal && source.alive.length > 0)
    await assertSpaceForPrivateCopy(folder, source.database, "--out", system.files);
  return { found, source, plan, findings: [...found.findings, ...accounts, ...tried] };
}

/** What the new host, and the person there, need to know about the source. */
export function describeSource(
  { found: { homeserver }, source, plan, findings }: SendLook,
  { folder }: SendOrder,
  { followed }: { readonly followed: boolean },
): OldHostMessages["source"] {
  const { database, media, alive } = source;
  const size = formatBytes(database.size);
  const lines = plan
    ? [
        ...describeStopAndFence({ homeserver, ...plan }),
        followed
          ? `its database, ${size}, is not sent: the copy on the new host follows it, and gets what is written last`
          : `its database, ${size}, is sent`,
      ]
    : [];
  return {
    type: "source",
    subject: homeserver.serverName,
    folder,
    engine: database.engine,
    serverVersion: database.engine === "sqlite" ? 0 : database.serverVersion,
    databaseWords: describeDatabase(database),
    databaseBytes: database.size,
    ...(database.engine === "postgres" && database.state
      ? { state: { serverVersion: database.state.serverVersion } }
      : {}),
    mediaBytes: media.bytes,
    mediaFiles: media.files,
    serves: alive.length > 0,
    lines,
    findings: [...findings, ...sourceFindings(homeserver, source, plan === undefined)].map((finding) => ({
      ...finding,
      evidence: [...(finding.evidence ?? [])],
    })),
  };
}
