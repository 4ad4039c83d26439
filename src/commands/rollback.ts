import { join, resolve } from "node:path";
import { z } from "zod";
import { LOCK, MANIFEST } from "../bundle/layout.ts";
import { MigrationError } from "../errors.ts";
import type { Homeserver } from "../homeserver/homeserver.ts";
import { readHomeserver } from "../homeserver/read.ts";
import type { FenceRecord } from "../homeserver/service/fence/record.ts";
import { findActivity } from "../homeserver/service/inspect.ts";
import { describeUndo } from "../homeserver/service/undo.ts";
import type { Journal } from "../journal/journal.ts";
import { acquireLock } from "../journal/lock.ts";
import { ALL_SENT, HANDED_OVER, SENT_DIRECTLY } from "../move/direct/sender-state.ts";
import { OUTAGE_SINCE } from "../move/export/clock.ts";
import { BestEffort } from "../move/old-server/best-effort.ts";
import { changedSinceFenced } from "../move/old-server/changed-since.ts";
import { readExportState } from "../move/old-server/export-state.ts";
import { configUnreadable, undoAndStart, undoOrder } from "../move/old-server/undo.ts";
import { confirmRollback } from "../move/rollback/consent.ts";
import { findNewServer } from "../move/rollback/new-server.ts";
import { describeRollback } from "../move/rollback/result-text.ts";
import type { Finding } from "../report/finding.ts";
import type { Files } from "../system/files/files.ts";
import type { System } from "../system/system.ts";
import type { Command } from "./command.ts";
import { ACCEPT, DRY_RUN, parseOptions } from "./options/shared.ts";

const schema = z.object({
  out: z.string().min(1),
  target: z
    .url({ protocol: /^https?$/, error: "must begin with https://, as https://new.example.org" })
    .optional(),
  configDir: z.string().min(1).optional(),
  config: z.array(z.string().min(1)).default([]),
  startCommand: z.string().min(1).optional(),
  url: z.url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8008" }).optional(),
  yes: z.boolean().default(false),
  force: z.boolean().default(false),
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

export const rollbackCommand: Command<z.infer<typeof schema>> = {
  name: "rollback",
  summary: "Cancel the move: undo what export changed on the old host, and start the old server again.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--out <folder>", about: "folder of the bundle, as given to export", required: true },
        {
          flags: "--target <url>",
          about: "base address of the new server: rollback refuses if it answers as this homeserver",
        },
        DRY_RUN,
        { flags: "--yes", about: "do not ask, if it is unknown whether the new server was opened" },
      ],
    },
    {
      heading: "Old and new server",
      options: [
        {
          flags: "--config-dir <folder>",
          about: "the --config-dir given to restore, if that was on this host",
        },
        {
          flags: "--config <path>",
          about: "the old server's configuration, if it has moved since the export",
          many: true,
        },
        {
          flags: "--start-command <command>",
          about: "command that starts the old server, if export did not find one",
        },
        {
          flags: "--url <url>",
          about: "address to check the started server",
          default: "its first unencrypted listener",
        },
      ],
    },
    {
      heading: "Exceptions",
      options: [
        { flags: "--force", about: "even if the new server was opened: data written there is lost" },
        {
          flags: "--accept <id>",
          about:
            "continue if this cannot be undone here, and undo it yourself: fence-database, fence-mask, fence-disable, fence-restart-policy, start",
          many: true,
        },
      ],
    },
  ],
  example: "synlift rollback --out /srv/move --target https://new.example.org",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const { files, machine } = system;
    const folder = resolve(machine.folder, options.out);
    await readExportState(folder, system);
    const unwritten = new BestEffort();
    const held = await unwritten.attempt(() => acquireLock(join(folder, LOCK), files, machine));
    try {
      const { record, journal, ...begun } = await readExportState(folder, system);
      if (!record) throw nothingToUndo(folder);
      const { homeserver, unread } = await readOldConfig(record, options.config, system);
      const newServer = await findNewServer(
        {
          configFolder:
            options.configDir === undefined ? undefined : resolve(machine.folder, options.configDir),
          target: options.target,
        },
        { serverName: record.subject, homeserver },
        system,
      );
      const sent = journal?.facts[SENT_DIRECTLY] !== undefined;
      const list = undoOrder(record);
      const words = list.map((change) => describeUndo(change, record.supervisor, options.startCommand));
      const complete = await wasComplete(folder, journal, files);
      const going = { ...options, subject: record.subject, folder, newServer, complete, lines: words };
      const agreed = await confirmRollback(going, system);
      const looked = [...begun.findings, ...unread, ...agreed];
      const findings = [...looked, ...(await changedSinceFenced(record, sent, system))];
      const details = { folder, subject: record.subject, undone: words };
      if (options.dryRun) {
        const lines = [...words.map((line) => `would be done: ${line}`), "dry run: nothing was changed"];
        return { findings, details: { ...details, dryRun: true }, lines };
      }
      for (const { sentence } of looked) view.note(sentence);
      const unseal = async () => {
        await unwritten.attempt(() => files.remove(join(folder, MANIFEST)));
        await unwritten.attempt(async () => journal?.removeFact(HANDED_OVER));
      };
      // An interrupted rollback is run again, and the bundle may have been opened in between.
      const isNoted = complete && journal ? await noteComplete(journal, unwritten, system) : true;
      // First: once the server runs again, its bundle must not be restored by mistake.
      if (isNoted) await unseal();
      // Read before this run starts anything.
      const startedEarlier = record.restartedAt;
      const from = { ...options, record, homeserver, unwritten, accepted: options.accept };
      const back = await undoAndStart(from, system, view);
      const isBack = !back.readOnly && (back.started || !back.failure);
      const outage = isBack ? await endOutage(journal, unwritten, system) : undefined;
      const alive = homeserver !== undefined && (await findActivity(homeserver, system)).length > 0;
      if (isBack) {
        if (!isNoted) await unseal();
        await unwritten.attempt(async () => journal?.removeFact(ALL_SENT));
      }
      const { subject, rolledBackAt } = record;
      const how = {
        ...back,
        subject,
        folder,
        sent,
        startedEarlier,
        alive,
        outage,
        changed: rolledBackAt !== undefined,
      };
      return {
        findings: [...findings, ...unwritten.findings(folder)],
        details: { ...details, leftToDo: [...back.leftToDo], outageSeconds: outage ?? null },
        lines: describeRollback(how),
        failure: back.failure,
      };
    } finally {
      await held?.release();
    }
  },
};

const nothingToUndo = (folder: string) =>
  new MigrationError("bundle-incomplete", `the export into ${folder} has changed nothing on this host`, {
    hint: "there is nothing to undo: start the server the way you stopped it",
  });

/** Whether everything that a new server needs was packed or sent, and the old one has not run since. */
async function wasComplete(folder: string, journal: Journal | undefined, files: Files): Promise<boolean> {
  if (!journal || (await files.lstat(join(folder, MANIFEST)))) return true;
  return journal.facts[HANDED_OVER] !== undefined || journal.facts[ALL_SENT] !== undefined;
}

/** Returns whether it could be recorded. */
async function noteComplete(journal: Journal, unwritten: BestEffort, { machine }: System): Promise<boolean> {
  const noted = await unwritten.attempt(async () => {
    await journal.setFact(ALL_SENT, journal.facts[ALL_SENT] ?? new Date(machine.now()).toISOString());
    return true;
  });
  return noted === true;
}

/** The old server's configuration; without it, changes to the host itself can still be undone. */
async function readOldConfig(
  { source, subject }: FenceRecord,
  config: readonly string[],
  { files, machine, signal }: System,
): Promise<{ homeserver: Homeserver | undefined; unread: Finding[] }> {
  const given = config.length > 0 ? { configPaths: config.map((path) => resolve(machine.folder, path)) } : {};
  try {
    return { homeserver: await readHomeserver({ ...source, ...given, signal }, files), unread: [] };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return { homeserver: undefined, unread: [configUnreadable(subject, error)] };
  }
}

/** Seconds from the stop to now; undefined when unknown. */
async function endOutage(
  journal: Journal | undefined,
  unwritten: BestEffort,
  { machine }: System,
): Promise<number | undefined> {
  const since = journal?.facts[OUTAGE_SINCE];
  await unwritten.attempt(async () => journal?.removeFact(OUTAGE_SINCE));
  return since === undefined ? undefined : (machine.now() - Date.parse(since)) / 1000;
}
