import { MigrationError } from "../../errors.ts";
import { pythonParts } from "../../homeserver/config/checks/modules.ts";
import { inspectConfig } from "../../homeserver/config/inspect.ts";
import { inspectOtherDatabases } from "../../homeserver/database/checks/other-databases.ts";
import { targetDatabaseFindings } from "../../homeserver/database/checks/target-findings.ts";
import { type DatabaseLookFacts, inspectDatabase } from "../../homeserver/database/inspect.ts";
import { openReadOnly } from "../../homeserver/database/open.ts";
import { findTrialSources } from "../../homeserver/database/source.ts";
import { trySchemas } from "../../homeserver/database/trial/run.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { MediaFacts } from "../../homeserver/media/facts.ts";
import { inspectMedia } from "../../homeserver/media/inspect.ts";
import { type PeopleSummary, peopleSummary } from "../../homeserver/people/summary.ts";
import { findWorkers } from "../../homeserver/service/find/workers.ts";
import { inspectWorkers } from "../../homeserver/service/inspect-workers.ts";
import { inspectSigningKey } from "../../homeserver/signing-key/inspect.ts";
import { pythonOf } from "../../homeserver/version/installed.ts";
import { inspectParts } from "../../homeserver/version/parts.ts";
import { inspectVersions } from "../../homeserver/version/inspect.ts";
import { type FoundVersion, sourceVersion } from "../../homeserver/version/source.ts";
import { readTargetVersion, type TargetVersion } from "../../homeserver/version/target.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import type { Estimate, Load, Rates } from "../outage/estimate.ts";
import type { Saving } from "../outage/savings.ts";
import { estimateFindings } from "./estimate-findings.ts";
import { estimateFromSample, type PlanEstimate } from "./estimate.ts";
import { followFindings } from "./follow.ts";
import { clockFindings } from "./host/clock.ts";
import { diskFindings } from "./host/disk.ts";
import { programFindings } from "./host/programs.ts";
import { shellFindings } from "./host/shell.ts";
import { lookAtService } from "./look-service.ts";
import type { PlanQuestions, Source } from "./questions.ts";

/** What was found out about a homeserver; what could not be is undefined, and a finding says why. */
export interface PlanInspection {
  readonly findings: readonly Finding[];
  readonly running: boolean;
  /** It runs, and nothing on this host is known that could stop it. */
  readonly stoppedByHand: boolean;
  readonly version: FoundVersion | undefined;
  readonly target: TargetVersion | undefined;
  readonly database: DatabaseLookFacts | undefined;
  readonly media: MediaFacts | undefined;
  readonly people: PeopleSummary["counts"] | undefined;
  readonly estimate: Estimate | undefined;
  readonly rates: Rates | undefined;
  readonly load: Load | undefined;
  readonly savings: readonly Saving[];
}

/** Imports, as the account that runs Synapse, what it imports; nothing where that Python is not on this host. */
async function lookAtParts(
  { homeserver, launch }: Pick<Source, "homeserver" | "launch">,
  { files, machine, programs }: System,
): Promise<Finding[]> {
  const python = launch?.map.length === 0 ? await pythonOf(launch.program, files) : undefined;
  const account = launch?.account === undefined ? undefined : machine.account(launch.account);
  // As root, nothing is imported that another account could have written.
  if (python === undefined || (machine.isRoot && account === undefined)) return [];
  const folder = launch?.workingFolder;
  return inspectParts(
    { python, parts: pythonParts(homeserver), account: machine.isRoot ? account : undefined, folder },
    programs,
  );
}

/** Inspects a whole homeserver, quickest checks first. Changes nothing. */
export async function lookAtHomeserver(
  { homeserver, launch, launches }: Source,
  questions: PlanQuestions,
  system: System,
  progress: Progress,
): Promise<PlanInspection> {
  const { files, http, machine, objects, programs, signal } = system;
  const findings: Finding[] = [];
  const look = attempts(findings, signal);

  const service = await look("service", () => lookAtService({ homeserver, launch, launches }, system));
  const running = service?.running === true;
  findings.push(...(service?.findings ?? []));
  const version = await look("source-version", () =>
    sourceVersion(homeserver, launch, { http, programs, files, signal }, questions.url),
  );
  const target =
    questions.target === undefined ? undefined : await readTargetVersion(questions.target, system);
  const between = { source: version?.version, target: target?.version };
  findings.push(...((await look("config", () => inspectConfig(homeserver, files, between))) ?? []));
  findings.push(...((await look("source-parts", () => lookAtParts({ homeserver, launch }, system))) ?? []));
  findings.push(
    ...((await look("workers", async () =>
      inspectWorkers(homeserver, await findWorkers(homeserver, launches, files), between),
    )) ?? []),
  );
  const live = {
    http,
    signal,
    now: machine.now(),
    ...(questions.url === undefined ? {} : { url: questions.url }),
  };
  findings.push(...((await look("signing-key", () => inspectSigningKey(homeserver, files, live))) ?? []));

  const opened = await look("database", () => openReadOnly(homeserver, questions.deep, system));
  try {
    const database =
      opened &&
      (await look("database", () =>
        inspectDatabase(
          opened,
          { ...questions, serverName: homeserver.serverName, running },
          system,
          progress,
        ),
      ));
    findings.push(...(database?.findings ?? []));
    const further = await look("database", () =>
      inspectOtherDatabases(homeserver, questions.deep, system, progress),
    );
    findings.push(...(further?.findings ?? []));
    const facts = database?.facts;
    const { version: schemaVersion, compat: compatVersion } = facts?.schema ?? {};
    findings.push(...inspectVersions({ source: version, schemaVersion, compatVersion, target }));
    // After a failure the session cannot be used any more.
    const usable = facts?.schema && !database?.findings.some(({ id }) => id === "database-check-incomplete");
    const session = usable ? opened?.session : undefined;
    const media = await look("media", () =>
      inspectMedia(
        {
          homeserver,
          deep: questions.deep,
          ...(questions.uploadLimit === undefined ? {} : { uploadLimit: questions.uploadLimit }),
          ...(questions.mediaRepo === undefined ? {} : { mediaRepo: questions.mediaRepo }),
        },
        { session, files, http, objects, machine, signal },
        progress,
      ),
    );
    findings.push(...(media?.findings ?? []));
    const people =
      session &&
      (await look("people", () =>
        peopleSummary(session, {
          serverName: homeserver.serverName,
          settings: homeserver.settings,
          now: machine.now(),
        }),
      ));
    findings.push(...(people?.findings ?? []));

    const server =
      facts?.serverVersion == null
        ? undefined
        : {
            serverVersion: facts.serverVersion,
            versionText: facts.version,
            through: homeserver.databaseCommand,
          };
    const { targetDatabase } = questions;
    if (facts && targetDatabase)
      findings.push(
        ...((await look("target-database", () =>
          targetDatabaseFindings(
            targetDatabase,
            { engine: facts.engine, serverVersion: facts.serverVersion ?? 0 },
            system.postgres,
          ),
        )) ?? []),
      );
    const { tryOn } = questions;
    // pg_dump sets much for its session, which a pooler would hand on.
    if (facts?.engine === "postgres" && tryOn && !findings.some(({ id }) => id === "database-pooler"))
      findings.push(
        ...((await look("schema-trial", async () =>
          trySchemas(await findTrialSources(homeserver, system), tryOn, system, progress),
        )) ?? []),
      );
    const needed = (await look("programs", () => programFindings(server, system))) ?? [];
    findings.push(...needed);
    const canPack = needed.some(({ id, level }) => id === "gpg" && level === "ok");
    const foreseen =
      opened && usable && media && canPack
        ? await look("estimate", () =>
            estimateFromSample(
              opened,
              facts,
              media.facts,
              { ...questions, besides: further?.bytes ?? 0 },
              system,
              progress,
            ),
          )
        : undefined;
    findings.push(...estimateFindings(foreseen, questions));
    if (facts?.engine === "postgres" && !findings.some(({ id }) => id === "database-pooler"))
      findings.push(...(await followFindings(homeserver, foreseen, system)));
    findings.push(
      ...((await look("host", () =>
        inspectHost(
          homeserver,
          { ...questions, privateCopyBytes: running && facts?.engine === "sqlite" ? facts.bytes : 0 },
          foreseen,
          system,
        ),
      )) ?? []),
    );
    return {
      findings,
      running,
      stoppedByHand: service?.stoppedByHand === true,
      version,
      target,
      database: facts,
      media: media?.facts,
      people: people?.counts,
      estimate: foreseen?.estimate,
      rates: foreseen?.rates,
      load: foreseen?.load,
      savings: foreseen?.savings ?? [],
    };
  } finally {
    await opened?.session.close();
  }
}

/** Checks of this host alone, which also work when the configuration cannot be read. */
export async function inspectHost(
  homeserver: Homeserver | undefined,
  { out, privateCopyBytes = 0 }: Pick<PlanQuestions, "out"> & { readonly privateCopyBytes?: number },
  foreseen: PlanEstimate | undefined,
  system: System,
): Promise<Finding[]> {
  const needs = {
    out,
    bundleBytes: foreseen?.estimate.bundleBytes ?? 0,
    restoredBytes: (foreseen?.load.databaseBytes ?? 0) + (foreseen?.load.mediaBytes ?? 0),
    mediaStore: homeserver?.mediaStore,
    privateCopyBytes,
  };
  return [
    ...(await diskFindings(needs, system)),
    ...(await clockFindings(system.programs)),
    ...(await shellFindings(system)),
  ];
}

/** Runs checks one after another. One that throws a `MigrationError` becomes a finding, and the others still run. */
function attempts(findings: Finding[], signal: AbortSignal) {
  return async <Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer | undefined> => {
    signal.throwIfAborted();
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MigrationError)) throw error;
      findings.push(failureFinding(what, error));
      return undefined;
    }
  };
}

/** A failure as a finding: its code is the id where an export would fail with it too. */
export function failureFinding(what: string, { code, message, hint }: MigrationError): Finding {
  const id =
    code === "file-failed" || code === "permission-denied" || code === "program-failed"
      ? `${what}-check-incomplete`
      : code;
  return {
    id,
    level: "blocker",
    sentence: message,
    hint: hint ?? "an export would fail with this too: fix it, then run plan again",
  };
}
