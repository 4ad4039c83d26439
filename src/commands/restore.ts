import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { MAS_OPTIONS } from "./options/database.ts";
import { JOBS_OPTIONS } from "./options/jobs.ts";
import { LAYOUT_OPTIONS } from "./options/layout.ts";
import { assertCanReadPipe, PIPE_OPTIONS } from "./options/pipe.ts";
import { DRY_RUN, KEY_OPTIONS, parseOptions, TRACE } from "./options/shared.ts";
import { restoreDetails, TARGET_GROUPS, TARGET_SCHEMA, targetOf } from "./options/target.ts";

const schema = z.object({
  argument: z.string().min(1),
  yes: z.boolean().default(false),
  ...DRY_RUN.schema,
  ...TARGET_SCHEMA,
  ...KEY_OPTIONS.schema,
  ...MAS_OPTIONS.schema,
  mediaAs: z.enum(["store", "archive"], "write store or archive").default("store"),
  mediaArchive: z.array(z.string().min(1)).default([]),
  ...PIPE_OPTIONS.schema,
  ...JOBS_OPTIONS.schema,
});

export const restoreCommand: Command<z.infer<typeof schema>> = {
  name: "restore",
  summary:
    "Restore a bundle into an empty database and two folders. The new server stays fenced until `open`.",
  argument: { name: "BUNDLE", about: "folder of the bundle, or - to read it from standard input" },
  options: [
    {
      heading: "Common options",
      options: [
        DRY_RUN,
        {
          flags: "--yes",
          about: "empty a database that an interrupted restore left partly restored, without asking",
        },
        TRACE,
      ],
    },
    ...TARGET_GROUPS,
    KEY_OPTIONS,
    {
      heading: "Media",
      options: [
        {
          flags: "--media-as <kind>",
          about: "store: Synapse's media store; archive: folders for matrix-media-repo's importer",
          default: "store",
        },
        {
          flags: "--media-archive <folder>",
          about: "also restore this archive of the server's media from matrix-media-repo",
          many: true,
        },
      ],
    },
    MAS_OPTIONS,
    PIPE_OPTIONS,
    JOBS_OPTIONS,
  ],
  example:
    "synlift restore /srv/move --passphrase-file /root/move.passphrase --database 'dbname=synapse user=synapse host=127.0.0.1' " +
    "--database-password-file /root/db.password --layout debian",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ restoreBundle }, { describeRestore }] = await Promise.all([
      import("../move/restore/restore-bundle.ts"),
      import("../move/restore/result-text.ts"),
    ]);
    const { machine } = system;
    const absolute = (path: string) => resolve(machine.folder, path);
    const layout = LAYOUT_OPTIONS.read(options, system);
    const typed = KEY_OPTIONS.read(options);
    const key = {
      file: typed.file === undefined ? undefined : absolute(typed.file),
      descriptor: typed.descriptor,
      command: typed.command,
      gpgHome: typed.gpgHome === undefined ? undefined : absolute(typed.gpgHome),
    };
    const fromStandardInput = options.argument === "-";
    if (fromStandardInput) assertCanReadPipe(key, system);
    const spool = PIPE_OPTIONS.read(options, layout, system);
    const target = await targetOf(options, layout, system);
    const { databaseCommand: commandPrefix, owner } = options;
    const result = await restoreBundle(
      {
        bundle: fromStandardInput ? spool : absolute(options.argument),
        fromStandardInput,
        key,
        target: {
          ...target,
          masDatabase: await MAS_OPTIONS.read(options, { commandPrefix, owner }, system),
          pgRestore: { folder: `${spool}.clear`, jobs: JOBS_OPTIONS.read(options, machine) },
        },
        withoutMas: !options.mas,
        mediaAs: options.mediaAs,
        mediaArchives: options.mediaArchive.map(absolute),
        jobsGiven: options.jobs !== undefined,
        dryRun: options.dryRun,
        yes: options.yes,
      },
      system,
      view,
    );
    return { findings: result.findings, details: restoreDetails(result), lines: describeRestore(result) };
  },
};
