import type { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import { valuesToHide } from "../../homeserver/config/secrets.ts";
import { openDatabaseOf } from "../../homeserver/database/target.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { localHttp, localUrlsOf } from "../../homeserver/listeners.ts";
import { askForMedia, findSampleUpload } from "../../homeserver/media/verify-served.ts";
import { liftNewFence, setNewFence } from "../../homeserver/service/fence/new-server.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { start, stop, waitUntilUp } from "../../homeserver/service/start.ts";
import { assertUnitsRun, journalOf, unitsStartedBy } from "../../homeserver/service/started-units.ts";
import { askServer } from "../../homeserver/service/verify.ts";
import { verifySigningKey } from "../../homeserver/signing-key/verify.ts";
import { escapeControls } from "../../report/cells.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import type { RestoreRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";
import { acceptFindings } from "./gates.ts";

export interface Opening {
  readonly record: RestoreRecord;
  readonly inventory: Inventory;
  readonly homeserver: Homeserver;
  readonly startCommand?: string | undefined;
  readonly stopCommand?: string | undefined;
  /** Where to ask the started server. */
  readonly url?: string | undefined;
  /** An access token from before the move. */
  readonly token: string | undefined;
  /** Ids of the checks after the start that may fail. */
  readonly accept: readonly string[];
  /** What was found of the old server, where this one ran already: then it is no gate before the start. */
  readonly before: readonly Finding[];
}

/** Milliseconds that a server may take to start: a large one fills its caches first. */
const START_TIMEOUT_MS = 120_000;

/**
 * Lifts the fence and, where a start command is given, starts the server and verifies its identity. If it does not start or
 * the check fails, it is stopped and fenced again, and the findings are returned as blockers or the error is thrown.
 */
export async function liftFenceAndStart(opening: Opening, system: System): Promise<readonly Finding[]> {
  const { record, startCommand } = opening;
  const url = startCommand === undefined ? undefined : urlToAsk(opening);
  await liftNewFence(record, system);
  if (startCommand === undefined || url === undefined) return [];
  return verifyOrStop(url, opening, system, () => start(startCommand, system.programs));
}

/**
 * Verifies the server that an interrupted `open` started, as that run would have done. As with `liftFenceAndStart`, a server
 * that does not answer or fails a check is stopped and fenced again, unless `stopIfWrong` is false.
 */
export async function verifyRunning(
  opening: Opening,
  system: System,
  { stopIfWrong = true }: { stopIfWrong?: boolean } = {},
): Promise<readonly Finding[]> {
  const url = urlToAsk(opening);
  if (stopIfWrong) return verifyOrStop(url, opening, system, () => Promise.resolve());
  return verifyAll(url, opening, system);
}

/** Throws `bad-usage` when there is none. */
function urlToAsk({ url, homeserver }: Opening): string {
  const found = url ?? localUrlsOf(homeserver.listeners)[0];
  if (found !== undefined) return found;
  throw new MigrationError(
    "bad-usage",
    "the configuration has no HTTP listener at which the started server could be checked",
    { hint: "give its address: --url https://…" },
  );
}

async function verifyOrStop(
  url: string,
  opening: Opening,
  system: System,
  begin: () => Promise<void>,
): Promise<readonly Finding[]> {
  const { homeserver } = opening;
  const units = unitsStartedBy(opening.startCommand ?? "");
  const isRunning = () => assertUnitsRun(units, system.programs);
  const local = { ...system, http: localHttp(system.http, homeserver.listeners) };
  let findings: readonly Finding[];
  try {
    await begin();
    await isRunning();
    await waitUntilUp(url, START_TIMEOUT_MS, local, isRunning);
    findings = await verifyAll(url, opening, system);
  } catch (error) {
    // Before the stop, which adds lines of its own.
    await showJournal(units, homeserver, system);
    await stopAndFenceAgain(opening, system);
    throw error;
  }
  if (findings.some(({ level }) => level === "blocker")) await stopAndFenceAgain(opening, system);
  return findings;
}

/**
 * Whether the server runs although its opening was not recorded, because an earlier `open` was interrupted. If it does not
 * run, sets the fence again. Throws `gate-failed` when it runs and never passed the gates.
 */
export async function isAlreadyRunning(
  record: RestoreRecord,
  homeserver: Homeserver,
  system: System,
): Promise<boolean> {
  const alive = await findActivity(homeserver, system);
  if (alive.length === 0) {
    await setNewFence(record, system);
    return false;
  }
  if (record.opening !== null) return true;
  throw new MigrationError(
    "gate-failed",
    `${record.serverName} is already running, and never passed the gates: ${alive[0]!.sentence}`,
    {
      hint: "stop it, drop its database and restore again, because it may have written to the database",
    },
  );
}

async function verifyAll(url: string, opening: Opening, system: System): Promise<Finding[]> {
  return acceptFindings([...opening.before, ...(await verifyStarted(url, opening, system))], opening.accept);
}

/** Verifies the identity of a started server; failed checks are blockers. */
export async function verifyStarted(
  url: string,
  { record, inventory, homeserver, token }: Pick<Opening, "record" | "inventory" | "homeserver" | "token">,
  system: System,
): Promise<Finding[]> {
  const { serverName } = record;
  const http = localHttp(system.http, homeserver.listeners);
  const asked = { ...system, http };
  const keyUrls = localUrlsOf(homeserver.listeners);
  const { findings, published } = await askServer({ url, keyUrls, serverName, token }, asked);
  const key = await verifySigningKey(sectionsOf(inventory).key, homeserver, system.files, published);
  const store = homeserver.mediaStore;
  const session = await openDatabaseOf(homeserver, system);
  const section = sectionsOf(inventory).media;
  const search = { session, hasToken: token !== undefined, store, files: system.files, section };
  const sample = await findSampleUpload(search).finally(() => session.close());
  return [
    ...findings,
    ...key.filter(({ id }) => id === "signing-key-published"),
    await askForMedia({ url, serverName, store, sample, token }, asked),
  ];
}

/** Why a unit did not start is in its journal. */
async function showJournal(
  units: readonly string[],
  homeserver: Homeserver,
  { programs, terminal }: System,
): Promise<void> {
  const lines = await journalOf(units, valuesToHide(homeserver), programs);
  for (const line of lines) terminal.err(`${escapeControls(line)}\n`);
}

async function stopAndFenceAgain({ record, stopCommand }: Opening, system: System): Promise<void> {
  const { programs, terminal } = system;
  if (stopCommand === undefined) {
    terminal.err("the new server may be running: stop it now, because no --stop-command was given\n");
  } else {
    await stop(stopCommand, programs).catch((error: unknown) => {
      terminal.err(`the new server could not be stopped, stop it yourself: ${(error as Error).message}\n`);
    });
  }
  await setNewFence(record, system);
}
