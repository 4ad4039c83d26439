import { join } from "node:path";
import { Inventory } from "../../bundle/inventory.ts";
import { keysForOpening, type KeySource } from "../../bundle/opening-keys.ts";
import { checkCommand } from "../../delegation/typed-commands.ts";
import { MigrationError } from "../../errors.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { isFenced } from "../../homeserver/config/fence.ts";
import { listenerPorts } from "../../homeserver/service/ports.ts";
import { installedSynapse } from "../../homeserver/version/installed.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import type { ProgressView } from "../../report/progress-view.ts";
import type { Files } from "../../system/files/files.ts";
import type { System } from "../../system/system.ts";
import { sayingWhatIsLeft } from "../interrupted.ts";
import { leftOfNewServer } from "../restore/left.ts";
import { inventoryCopyPath } from "../restore/opened-bundle.ts";
import { keyFor, readRecord, recordFolder, type RestoreRecord, writeRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";
import { acceptFindings, acceptStartChanges, gateFailure, type RestoredServer, runGates } from "./gates.ts";
import { alreadyRunning, assertOpenable, withLayout } from "./preconditions.ts";
import { outageOf, writeGateReport } from "./report.ts";
import { assertUnitsKnown, bootFindings, enableUnits, unitsToEnable } from "./boot.ts";
import { assertAnswering, endAnswering } from "../old-server/end-answering.ts";
import { oldServerBeside, oldServerGate } from "./old-server.ts";
import { publicAnswerGate } from "./public-answer.ts";
import { readRestored } from "./restored-server.ts";
import { isAlreadyRunning, liftFenceAndStart, type Opening, verifyRunning } from "./start.ts";
import { startTrial, type Trial } from "./trial.ts";

/** How a restored server is to be opened. Paths are absolute. */
export interface OpenOrder {
  /** The folder given to restore as --config-dir. */
  readonly folder: string;
  /** Where Synapse will run: relative paths in its configuration start there. */
  readonly workingFolder: string;
  /** What decrypts the copy of the inventory. */
  readonly key: KeySource;
  /** False to lift the fence only. */
  readonly start: boolean;
  /** Enable the units of the start command, so that they start at boot. */
  readonly enable: boolean;
  readonly startCommand: string | undefined;
  readonly stopCommand: string | undefined;
  /** Where to check the started server; undefined for its first unencrypted listener. */
  readonly url: string | undefined;
  /** File with an access token from before the move. */
  readonly tokenFile: string | undefined;
  /** Python or virtual environment of Synapse. */
  readonly synapse: string | undefined;
  /** Ids of gates that may fail. */
  readonly accept: readonly string[];
  readonly rehearsalOk: boolean;
  /** A trial on this port of loopback instead of an opening. */
  readonly trialPort: number | undefined;
  /** Check every gate, and change nothing. */
  readonly dryRun: boolean;
  /** Folder of an export on this host, whose maintenance answer ends with the opening. */
  readonly maintenance: string | undefined;
  /** Where to write the result of the gates as an HTML page too. */
  readonly html: string | undefined;
}

export type OpenResult =
  /** A gate did not pass, or the started server failed a check and was stopped and fenced again. */
  | { readonly kind: "blocked"; readonly findings: readonly Finding[]; readonly failure: MigrationError }
  /** Every gate passes, and nothing was changed. */
  | { readonly kind: "dry-run"; readonly findings: readonly Finding[] }
  /** The server runs on loopback only, and stays fenced. */
  | {
      readonly kind: "trial";
      readonly findings: readonly Finding[];
      readonly failure: MigrationError | undefined;
      readonly serverName: string;
      readonly url: string;
      /** The command that stops it. */
      readonly stop: string;
    }
  /** The fence is lifted. There is no way back. */
  | {
      readonly kind: "opened";
      readonly findings: readonly Finding[];
      readonly serverName: string;
      readonly rehearsal: boolean;
      /** Whether this run, or the interrupted one before it, started the server; else a person does. */
      readonly started: boolean;
      readonly configPaths: readonly string[];
      /** From the stop of the old server to now; undefined when that is not known. */
      readonly outageSeconds: number | undefined;
      /** Path of the report; undefined when it could not be written. */
      readonly report: string | undefined;
      /** The command that checks the address once it leads here. */
      readonly check: string;
    };

/**
 * Runs every gate on a restored server and, if all pass, lifts its fence, starts it and verifies its identity. May be
 * repeated after an interruption. Throws `already-opened`, `rehearsal-refused`, `gate-failed` when the server runs or
 * was used in a trial, and what reading the record, the inventory and the configuration throws.
 */
export async function openRestored(
  order: OpenOrder,
  system: System,
  view: ProgressView,
): Promise<OpenResult> {
  const { folder, maintenance } = order;
  const first = await readRecord(folder, system.files);
  if (order.enable) assertUnitsKnown(unitsToEnable(first, order.startCommand));
  if (maintenance !== undefined) await assertAnswering(maintenance, system);
  assertOpenable(first, isolation(order));
  const held = await acquireLock(join(recordFolder(folder), "lock"), system.files, system.machine, folder);
  try {
    // Read again: the run that held the lock may have opened it.
    const record = await readRecord(folder, system.files);
    assertOpenable(record, isolation(order));
    return await sayingWhatIsLeft(
      () => verifyAndOpen(record, withLayout(order, record), system, view),
      () => leftOfNewServer(folder, system),
    );
  } finally {
    await held.release();
  }
}

const isolation = ({ rehearsalOk, trialPort }: OpenOrder) => ({
  rehearsalOk,
  isolated: trialPort !== undefined,
});

async function verifyAndOpen(
  record: RestoreRecord,
  order: OpenOrder,
  system: System,
  view: ProgressView,
): Promise<OpenResult> {
  const { files } = system;
  const { workingFolder, trialPort } = order;
  const inventory = await readInventoryCopy(record, order, system);
  if (record.outageSince !== null) view.outage(Date.parse(record.outageSince));
  const fenced = await isFenced(record.fence, files);
  const homeserver = await readRestored(record, { fenced, workingFolder }, system);
  const check = addressCheck(homeserver, inventory);
  const report = gateReport({ record, inventory, order, check }, system);
  const moved = { record, isFollowed: sectionsOf(inventory).database.followed !== undefined };
  if (!fenced && trialPort === undefined && (await isAlreadyRunning(record, homeserver, system))) {
    // The run that started it may have been interrupted before it asked the server anything.
    const token = await readTokenFile(order.tokenFile, files);
    const before = await oldServerBeside(moved, system);
    const opening = { ...order, record, inventory, homeserver, token, before };
    const asked = await (order.dryRun
      ? verifyRunning(opening, system, { stopIfWrong: false })
      : verifyStart(record, opening, system, verifyRunning));
    const all = [alreadyRunning(record), ...asked];
    const wrong = gateFailure(asked);
    if (wrong) {
      await report(all, false);
      return { kind: "blocked", findings: all, failure: wrong };
    }
    if (order.dryRun) return { kind: "dry-run", findings: all };
    view.outage(undefined);
    return recordOpening({ record, order, findings: all, isRunning: true, check }, report, system);
  }
  const { configPaths, layout } = record;
  const installed = await installedSynapse(
    { synapse: order.synapse, startCommand: order.startCommand, configPaths, image: layout?.synapse },
    system,
  );
  const token = await readTokenFile(order.tokenFile, files);
  const trial: Trial = {
    record,
    inventory,
    homeserver,
    token,
    python: installed.python,
    port: trialPort ?? 0,
  };
  // The gates passed before the first trial; people have written to it since.
  if (trialPort !== undefined && record.tried !== undefined) return runTrial(trial, [], system);
  const gates = await inParallel(
    runGates({ inventory, homeserver, record, installed }, system, view),
    // A trial is reached by nobody, so the old server may run meanwhile, and it listens elsewhere.
    ...(trialPort === undefined
      ? [
          oldServerGate(moved, system),
          publicAnswerGate(homeserver, record, sectionsOf(inventory).key.keys, system),
          portsFor({ record, homeserver, installed }, system),
        ]
      : []),
  );
  const findings = acceptFindings(acceptStartChanges(gates, record), order.accept);
  const failure = gateFailure(findings);
  if (failure || order.dryRun) {
    await report(findings, false);
    return failure ? { kind: "blocked", findings, failure } : { kind: "dry-run", findings };
  }
  if (trialPort !== undefined) return runTrial(trial, findings, system);
  const started = await startRecorded(
    record,
    { ...order, record, inventory, homeserver, token, before: [] },
    system,
  );
  const all = [...findings, ...started];
  const wrong = gateFailure(started);
  if (wrong) {
    await report(all, false);
    return { kind: "blocked", findings: all, failure: wrong };
  }
  view.outage(undefined);
  const isRunning = order.startCommand !== undefined;
  return recordOpening({ record, order, findings: all, isRunning, check }, report, system);
}

/** The findings of all, once the last of them has ended: none is left running when another one fails. */
async function inParallel(...looks: readonly Promise<Finding[]>[]): Promise<Finding[]> {
  await Promise.allSettled(looks);
  return (await Promise.all(looks)).flat();
}

/** In a container its listeners are in nobody's way; only the port that is published on this host can be taken. */
function portsFor(
  { record: { layout }, homeserver: { listeners }, installed }: Omit<RestoredServer, "inventory">,
  { machine }: System,
): Promise<Finding[]> {
  if (installed.inImage !== true) return listenerPorts(listeners, "blocker", machine);
  const url = URL.parse(layout?.url ?? "");
  if (!url) return Promise.resolve([]);
  const address = url.hostname.replace(/^\[|\]$/g, "");
  const published = [{ port: Number(url.port || 80), addresses: [address], tls: false, resources: [] }];
  return listenerPorts(published, "blocker", machine);
}

async function readInventoryCopy(
  record: RestoreRecord,
  { folder, key }: OpenOrder,
  system: System,
): Promise<Inventory> {
  const path = inventoryCopyPath(recordFolder(folder));
  const keys = await keysForOpening(record.recipients, keyFor(record, folder, key), system);
  return Inventory.read(system.files.read(path), keys, path);
}

/** The check of the address with everything that is known of it: the base URL and the keys of before the move. */
function addressCheck({ serverName, settings }: Homeserver, inventory: Inventory): string {
  const base = settings["public_baseurl"];
  const url = typeof base === "string" ? URL.parse(base) : null;
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.username + url.password === "";
  return checkCommand({
    serverName,
    clientUrl: isPlain ? url.href.replace(/\/+$/, "") : undefined,
    // What Synapse itself answers (serve_server_wellknown in synapse/config/server.py).
    federation: settings["serve_server_wellknown"] === true ? `${serverName}:443` : undefined,
    keys: sectionsOf(inventory).key.keys,
  });
}

const gateReport =
  (
    {
      record,
      inventory,
      order,
      check,
    }: { record: RestoreRecord; inventory: Inventory; order: OpenOrder; check: string },
    { files, machine }: System,
  ) =>
  (findings: readonly Finding[], opened: boolean): Promise<string> => {
    const { folder, accept: accepted, html } = order;
    return writeGateReport(
      { folder, record, inventory, findings, opened, accepted, now: machine.now(), html, check },
      files,
    );
  };

/** Lifts the fence and starts the server. The record says before and after what the next run must know if this one is killed. */
async function startRecorded(
  record: RestoreRecord,
  opening: Opening & Pick<OpenOrder, "folder">,
  system: System,
): Promise<readonly Finding[]> {
  const opened = { ...record, opening: new Date(system.machine.now()).toISOString() };
  // From here on the server may run: if this run is killed, the next one must know that every gate passed.
  await writeRecord(opening.folder, opened, system.files);
  return verifyStart(opened, opening, system, liftFenceAndStart);
}

/** Records that the server has run, if it does not pass. */
async function verifyStart(
  record: RestoreRecord,
  opening: Opening & Pick<OpenOrder, "folder">,
  system: System,
  verify: (opening: Opening, system: System) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const { files, machine } = system;
  const write = () =>
    writeRecord(opening.folder, { ...record, started: new Date(machine.now()).toISOString() }, files);
  try {
    const findings = await verify(opening, system);
    if (gateFailure(findings)) await write();
    return findings;
  } catch (error) {
    await write();
    throw error;
  }
}

/** Starts a trial on loopback. The restored server stays fenced, and must not be opened any more. */
async function runTrial(trial: Trial, gates: readonly Finding[], system: System): Promise<OpenResult> {
  const { record } = trial;
  const tried = record.tried ?? new Date(system.machine.now()).toISOString();
  await writeRecord(record.fence.folder, { ...record, tried }, system.files);
  const { findings, url, stop } = await startTrial(trial, system);
  return {
    kind: "trial",
    findings: [...gates, ...findings],
    failure: gateFailure(findings),
    serverName: record.serverName,
    url,
    stop,
  };
}

async function readTokenFile(path: string | undefined, files: Files): Promise<string | undefined> {
  return path === undefined ? undefined : (await files.readText(path)).trim();
}

/** Everything is decided: what fails from here on must not read as if the server were not open. */
async function recordOpening(
  { record, order, findings, isRunning, check }: VerifiedStart,
  report: ReturnType<typeof gateReport>,
  system: System,
): Promise<OpenResult> {
  const { files, machine } = system;
  const { folder, accept: accepted, startCommand, maintenance } = order;
  const now = machine.now();
  try {
    const opened = new Date(now).toISOString();
    await writeRecord(folder, { ...record, opened, accepted: [...accepted] }, files);
  } catch (error) {
    throw isRunning ? openButUnrecorded(record, error) : error;
  }
  const { serverName, rehearsal, configPaths } = record;
  const units = unitsToEnable(record, startCommand);
  const boot = order.enable ? await enableUnits(units, system) : await bootFindings(units, system);
  const written = await writeReport([...findings, ...boot], report);
  const answer = maintenance === undefined ? [] : await endAnswering(maintenance, isRunning, system);
  return {
    kind: "opened",
    findings: [...findings, ...boot, ...written.findings, ...answer],
    serverName,
    rehearsal,
    started: startCommand !== undefined,
    configPaths,
    outageSeconds: outageOf(record, now),
    report: written.path,
    check,
  };
}

interface VerifiedStart {
  readonly record: RestoreRecord;
  readonly order: OpenOrder;
  readonly findings: readonly Finding[];
  /** Whether it has been started and verified. */
  readonly isRunning: boolean;
  /** The command that checks the address. */
  readonly check: string;
}

/** The report can be missed: the server is open, and this command cannot be repeated. */
async function writeReport(
  findings: readonly Finding[],
  report: ReturnType<typeof gateReport>,
): Promise<{ findings: readonly Finding[]; path: string | undefined }> {
  try {
    return { findings: [], path: await report(findings, true) };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const missed: Finding = {
      id: "report-not-written",
      level: "warning",
      sentence: `the server is open, but the report of its gates was not written: ${error.message}`,
      hint: "keep the output of this run instead: --json has all of it",
    };
    return { findings: [missed], path: undefined };
  }
}

function openButUnrecorded({ serverName }: RestoreRecord, error: unknown): unknown {
  if (!(error instanceof MigrationError)) return error;
  return new MigrationError(
    error.code,
    `${serverName} is open and runs on this host: there is no way back. Only its record could not be written: ${error.message}`,
    {
      hint: "leave the new server running, and never start the old one; make this folder writable (free some space), then run the same command again: it verifies the running server and records it",
      cause: error,
      reason: error.reason,
    },
  );
}
