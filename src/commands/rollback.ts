import { join, resolve } from "node:path";
import { z } from "zod";
import { JOURNAL, LOCK, MANIFEST } from "../bundle/layout.ts";
import { MigrationError } from "../errors.ts";
import { backLines } from "../homeserver/back-words.ts";
import { OUTAGE } from "../homeserver/estimate/export-clock.ts";
import { mayGoBack } from "../homeserver/may-go-back.ts";
import { movedOn } from "../homeserver/moved-on.ts";
import { openedElsewhere } from "../homeserver/opened-elsewhere.ts";
import { putBack, undos } from "../homeserver/put-back.ts";
import { readHomeserver } from "../homeserver/read.ts";
import { HANDED_OVER, ROAD } from "../homeserver/road/place.ts";
import { FenceRecord } from "../homeserver/service/fence-record.ts";
import { signsOfLife } from "../homeserver/service/inspect.ts";
import { undoWords } from "../homeserver/service/undo.ts";
import { Journal } from "../journal/journal.ts";
import { takeLock } from "../journal/lock.ts";
import type { System } from "../system/system.ts";
import type { Command } from "./command.ts";
import { checked, DRY_RUN, dryRunSchema } from "./options.ts";

const schema = z.object({
  out: z.string().min(1),
  target: z
    .url({ protocol: /^https?$/, error: "must begin with https://, as https://new.example.org" })
    .optional(),
  configDir: z.string().min(1).optional(),
  startCommand: z.string().min(1).optional(),
  url: z.url({ protocol: /^https?$/, error: "write a base address: http://127.0.0.1:8008" }).optional(),
  yes: z.boolean().default(false),
  force: z.boolean().default(false),
  ...dryRunSchema,
});

export const rollbackCommand: Command<z.infer<typeof schema>> = {
  name: "rollback",
  summary: "Give up the move: undo what export changed on the old host, and start the old server again.",
  options: [
    { flags: "--out <folder>", about: "folder of the bundle, as given to export" },
    { flags: "--target <url>", about: "base address of the new server: refused if it answers as this one" },
    { flags: "--config-dir <folder>", about: "the folder given to restore, if that was on this host" },
    {
      flags: "--start-command <command>",
      about: "what starts the old server, where export does not know it",
    },
    { flags: "--url <url>", about: "where to ask the started server; else its first plain listener" },
    { flags: "--yes", about: "without asking whether the new server was opened, where that is not known" },
    { flags: "--force", about: "also when the new server was opened: what was written there is lost" },
    DRY_RUN,
  ],
  example: "synlift rollback --out /srv/move --target https://new.example.org",
  parse: (given) => checked(schema, given),

  async run(options, system, view) {
    const { files, machine, signal } = system;
    const folder = resolve(machine.folder, options.out);
    if (!(await files.look(join(folder, JOURNAL)))) throw nothingBegun(folder);
    const held = await takeLock(join(folder, LOCK), files, machine);
    try {
      const record = await FenceRecord.read(folder, files, machine);
      if (!record) throw nothingFenced(folder);
      const homeserver = await readHomeserver({ ...record.source, signal }, files);
      const there = await openedElsewhere(
        {
          configFolder:
            options.configDir === undefined ? undefined : resolve(machine.folder, options.configDir),
          target: options.target,
        },
        homeserver,
        system,
      );
      const journal = await Journal.read(join(folder, JOURNAL), files);
      const sent = journal?.facts[ROAD] !== undefined;
      const list = undos(record);
      const words = list.map((change) => undoWords(change, record.keeper, options.startCommand));
      // Whether everything that a new server needs was packed, or sent to it.
      const sealed = (await files.look(join(folder, MANIFEST))) !== undefined;
      const complete = sealed || journal?.facts[HANDED_OVER] !== undefined;
      const going = { ...options, subject: record.subject, folder, there, complete, lines: words };
      const agreed = await mayGoBack(going, system);
      const findings = [...agreed, ...(await movedOn(record, sent, system))];
      const details = { folder, subject: record.subject, undone: words };
      if (options.dryRun) {
        const lines = [...words.map((line) => `would be done: ${line}`), "a dry run: nothing was changed"];
        return { findings, details: { ...details, dryRun: true }, lines };
      }
      for (const { sentence } of agreed) view.note(sentence);
      // First of all: a bundle of a server that serves again must not be restored by mistake.
      await files.remove(join(folder, MANIFEST));
      await journal?.forgetFact(HANDED_OVER);
      // What this run starts counts as this run's.
      const earlier = record.restarted;
      const back = await putBack({ record, homeserver, ...options }, system, view);
      const outage = back.closed ? undefined : await endOutage(folder, system);
      const alive = (await signsOfLife(homeserver, system)).length > 0;
      const { subject, givenUp } = record;
      const how = { ...back, subject, folder, sent, earlier, alive, outage, changed: givenUp !== undefined };
      return {
        findings,
        details: { ...details, leftToDo: [...back.left], outageSeconds: outage ?? null },
        lines: backLines(how),
      };
    } finally {
      await held.release();
    }
  },
};

const nothingBegun = (folder: string) =>
  new MigrationError("bundle-unfinished", `no export was begun in ${folder}`, {
    hint: "name the folder given to export with --out, on the old host",
  });

const nothingFenced = (folder: string) =>
  new MigrationError("bundle-unfinished", `the export into ${folder} has changed nothing on this host`, {
    hint: "there is nothing to undo: start the server with what you stopped it with",
  });

/** Seconds from the stop to now; undefined when nobody knows. */
async function endOutage(folder: string, { files, machine }: System): Promise<number | undefined> {
  const journal = await Journal.read(join(folder, JOURNAL), files);
  const since = journal?.facts[OUTAGE];
  await journal?.forgetFact(OUTAGE);
  return since === undefined ? undefined : (machine.now() - Date.parse(since)) / 1000;
}
