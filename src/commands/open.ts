import { join, resolve } from "node:path";
import { z } from "zod";
import { Inventory } from "../bundle/inventory.ts";
import { keysForOpening } from "../bundle/opening-keys.ts";
import { isFenced } from "../homeserver/config/fence.ts";
import { installedSynapse } from "../homeserver/version/installed.ts";
import { acquireLock } from "../journal/lock.ts";
import { acceptFindings, acceptStartChanges, gateFailure, runGates } from "../move/open/gates.ts";
import { alreadyRunning, assertOpenable, withLayout } from "../move/open/preconditions.ts";
import { outageOf, writeGateReport } from "../move/open/report.ts";
import { readRestored } from "../move/open/restored-server.ts";
import { isAlreadyRunning, liftFenceAndStart } from "../move/open/start.ts";
import { startTrial, type Trial } from "../move/open/trial.ts";
import { inventoryCopyPath } from "../move/restore/opened-bundle.ts";
import { keyFor, readRecord, recordFolder, type RestoreRecord, writeRecord } from "../move/restore/record.ts";
import type { Finding } from "../report/finding.ts";
import type { ProgressView } from "../report/progress-view.ts";
import { formatDuration } from "../report/units.ts";
import type { Files } from "../system/files/files.ts";
import { quoteShellWord } from "../system/shell-quoting.ts";
import type { System } from "../system/system.ts";
import type { Command, Outcome } from "./command.ts";
import { ACCEPT, DRY_RUN, KEY_OPTIONS, parseOptions } from "./options/shared.ts";

const schema = z.object({
  configDir: z.string().min(1),
  workingDirectory: z.string().optional(),
  startCommand: z.string().optional(),
  stopCommand: z.string().optional(),
  start: z.boolean().default(true),
  url: z.url().optional(),
  tokenFile: z.string().optional(),
  rehearsalOk: z.boolean().default(false),
  isolated: z.boolean().default(false),
  port: z.coerce.number().int().min(1).max(65_535).default(18_008),
  synapse: z.string().min(1).optional(),
  html: z.string().min(1).optional(),
  ...KEY_OPTIONS.schema,
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

type OpenOptions = z.infer<typeof schema>;

export const openCommand: Command<OpenOptions> = {
  name: "open",
  summary:
    "Verify that the restored server is identical to the old one, and only then start it. Point of no return.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--config-dir <folder>", about: "the folder given to restore", required: true },
        DRY_RUN,
        {
          flags: "--isolated",
          about:
            "only start a trial: on loopback, without federation, mail, push and bridges; the server stays fenced",
        },
        { flags: "--port <port>", about: "with --isolated: port on loopback", default: "18008" },
        { flags: "--rehearsal-ok", about: "open a rehearsal, for a trial" },
        { flags: "--html <file>", about: "also write the result of the gates as an HTML page" },
        ACCEPT,
      ],
    },
    {
      heading: "Start of the new server",
      options: [
        {
          flags: "--start-command <command>",
          about: "command that starts the server and returns, such as 'systemctl start matrix-synapse'",
          default: "that of the layout",
        },
        {
          flags: "--stop-command <command>",
          about: "command that stops it again if a check fails",
          default: "that of the layout",
        },
        { flags: "--no-start", about: "only lift the fence: you start the server yourself" },
        {
          flags: "--working-directory <folder>",
          about: "where Synapse will run: relative paths in its configuration start there",
          default: "the current directory",
        },
        {
          flags: "--synapse <path>",
          about: "Python or virtual environment of Synapse, if no unit and no Debian package has it",
        },
        {
          flags: "--url <url>",
          about: "address to check the started server",
          default: "its first unencrypted listener",
        },
        {
          flags: "--token-file <file>",
          about: "file with an access token from before the move, to check that it still works",
        },
      ],
    },
    KEY_OPTIONS,
  ],
  example:
    "synlift open --config-dir /etc/matrix-synapse --passphrase-file /root/move.passphrase " +
    "--start-command 'systemctl start matrix-synapse' --stop-command 'systemctl stop matrix-synapse'",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const { files, machine } = system;
    const folder = resolve(machine.folder, options.configDir);
    assertOpenable(await readRecord(folder, files), options);
    const held = await acquireLock(join(recordFolder(folder), "lock"), files, machine);
    try {
      return await verifyAndOpen(folder, options, system, view);
    } finally {
      await held.release();
    }
  },
};

async function verifyAndOpen(
  folder: string,
  given: OpenOptions,
  system: System,
  view: ProgressView,
): Promise<Outcome> {
  const { files, machine } = system;
  const record = await readRecord(folder, files);
  assertOpenable(record, given);
  const options = withLayout(given, record);
  const path = inventoryCopyPath(recordFolder(folder));
  const lock = await keysForOpening(
    record.recipients,
    keyFor(record, folder, KEY_OPTIONS.read(options)),
    system,
  );
  const inventory = await Inventory.read(files.read(path), lock, path);
  if (record.outageSince !== null) view.outage(Date.parse(record.outageSince));

  const workingFolder = resolve(machine.folder, options.workingDirectory ?? ".");
  const fenced = await isFenced(record.fence, files);
  const homeserver = await readRestored(record, { fenced, workingFolder }, system);
  const report = (findings: readonly Finding[], opened: boolean) =>
    writeGateReport(
      { ...{ folder, record, inventory, findings, opened }, ...reportOptions(options, machine) },
      files,
    );
  if (!fenced && !options.isolated && (await isAlreadyRunning(record, homeserver, system))) {
    view.outage(undefined);
    return finish(
      folder,
      record,
      await report([alreadyRunning(record)], true),
      [alreadyRunning(record)],
      options,
      system,
    );
  }
  const { configPaths, layout } = record;
  const installed = await installedSynapse({ ...options, configPaths, image: layout?.synapse }, system);
  const token = await tokenIn(options, files);
  const trial = { ...{ record, inventory, homeserver, token }, python: installed.python };
  // The gates passed before the first trial; people have written to it since.
  if (options.isolated && record.tried !== undefined) return runTrial(trial, [], options, system);
  const found = await runGates({ inventory, homeserver, record, installed }, system, view);
  const accepted = acceptFindings(acceptStartChanges(found, record), options.accept);
  const failure = gateFailure(accepted);
  if (failure || options.dryRun) {
    await report(accepted, false);
    return {
      findings: accepted,
      details: { opened: false },
      lines: failure ? [] : ["every gate passes; dry run: nothing was opened"],
      failure,
    };
  }
  if (options.isolated) return runTrial(trial, accepted, options, system);

  // From here on the server may run: if this run is killed, the next one must know that every gate passed.
  await writeRecord(folder, { ...record, opening: new Date(machine.now()).toISOString() }, files);
  const wasStarted = () =>
    writeRecord(folder, { ...record, started: new Date(machine.now()).toISOString() }, files);
  const opening = liftFenceAndStart({ record, inventory, homeserver, ...options, token }, system);
  const started = await opening.catch(async (error: unknown) => {
    await wasStarted();
    throw error;
  });
  const wrong = gateFailure(started);
  if (wrong) {
    await wasStarted();
    const findings = [...accepted, ...started];
    await report(findings, false);
    return { findings, details: { opened: false }, lines: [], failure: wrong };
  }
  view.outage(undefined);
  const all = [...accepted, ...started];
  return finish(folder, record, await report(all, true), all, options, system);
}

const reportOptions = ({ accept: accepted, html }: OpenOptions, machine: System["machine"]) => ({
  accepted,
  now: machine.now(),
  html: html === undefined ? undefined : resolve(machine.folder, html),
});

/** Starts a trial on loopback. The restored server stays fenced, and must not be opened any more. */
async function runTrial(
  trial: Omit<Trial, "port">,
  already: readonly Finding[],
  { port }: OpenOptions,
  system: System,
): Promise<Outcome> {
  const { record } = trial;
  const { files, machine } = system;
  const tried = record.tried ?? new Date(machine.now()).toISOString();
  await writeRecord(record.fence.folder, { ...record, tried }, files);
  const { findings, url, stop } = await startTrial({ ...trial, port }, system);
  const failure = gateFailure(findings);
  return {
    findings: [...already, ...findings],
    details: { opened: false, url, stop },
    lines: [
      `${record.serverName} can be tried out at ${url}: only from this host, without federation, mail, push and bridges`,
      `to stop it: ${stop}`,
    ],
    failure,
  };
}

async function tokenIn({ tokenFile }: OpenOptions, files: Files): Promise<string | undefined> {
  return tokenFile === undefined ? undefined : (await files.readText(tokenFile)).trim();
}

async function finish(
  folder: string,
  record: RestoreRecord,
  report: string,
  findings: readonly Finding[],
  { accept: accepted, startCommand }: OpenOptions,
  { files, machine }: System,
): Promise<Outcome> {
  const now = machine.now();
  await writeRecord(folder, { ...record, opened: new Date(now).toISOString(), accepted }, files);
  const outageSeconds = outageOf(record, now);
  const lines = [
    startCommand === undefined
      ? `${record.serverName} may start now: give Synapse ${record.configPaths.map((path) => `-c ${quoteShellWord(path)}`).join(" ")}`
      : `${record.serverName} is open on its new host`,
    ...(outageSeconds === undefined
      ? []
      : [`outage: ${formatDuration(outageSeconds)}, from the stop of the old server to now`]),
    `report: ${report}`,
    record.rehearsal
      ? "this is a rehearsal: the real server is the one that kept running; do not make this one reachable"
      : "the old server must never be started again",
  ];
  return {
    findings,
    details: { opened: true, serverName: record.serverName, outageSeconds: outageSeconds ?? null, report },
    lines,
  };
}
