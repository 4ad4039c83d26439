import { resolve } from "node:path";
import { z } from "zod";
import { failureForFindings } from "../report/accept.ts";
import type { Command } from "./command.ts";
import { postgresAddress } from "./options/database.ts";
import { PORTING_OPTIONS } from "./options/fixes.ts";
import { CONFIG_OPTIONS, DRY_RUN, parseOptions, TRACE } from "./options/shared.ts";

const schema = z.object({
  to: z.string().min(1),
  toPasswordFile: z.string().min(1).optional(),
  out: z.string().min(1),
  rehearse: z.boolean().default(false),
  synapse: z.string().min(1).optional(),
  synapseVersion: z
    .string()
    .regex(/^\d+\.\d+\.\d+(rc\d+)?$/, "write a version: 1.163.2")
    .optional(),
  ...PORTING_OPTIONS.schema,
  ...CONFIG_OPTIONS.schema,
  ...DRY_RUN.schema,
});

export const portCommand: Command<z.infer<typeof schema>> = {
  name: "port",
  summary:
    "Copy this homeserver's SQLite database into an empty PostgreSQL database, with Synapse's own program, and prove it.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--to <address>",
          about:
            "empty PostgreSQL database, or one that will be created: 'host=… user=… dbname=…', without password",
          required: true,
        },
        { flags: "--to-password-file <file>", about: "file that contains only that user's password" },
        {
          flags: "--out <folder>",
          about: "folder for a private copy of the database while it is copied, the log and the report",
          required: true,
        },
        {
          flags: "--rehearse",
          about: "practise on a copy of the running server, and empty the database again",
        },
        DRY_RUN,
        TRACE,
      ],
    },
    {
      ...PORTING_OPTIONS,
      options: [
        ...PORTING_OPTIONS.options,
        {
          flags: "--synapse <path>",
          about: "Python or virtual environment of Synapse",
          default: "that of the Synapse found on this host",
        },
        {
          flags: "--synapse-version <version>",
          about: "which version to install, if that of this server is not found",
        },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example:
    "synlift port --config /etc/matrix-synapse/homeserver.yaml --to 'host=127.0.0.1 user=synapse dbname=synapse' --to-password-file /root/db.password --out /srv/port",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ describePort, portDetails }, { portHomeserver }] = await Promise.all([
      import("../move/port/result-text.ts"),
      import("../move/port/run.ts"),
    ]);
    const { folder: here } = system.machine;
    const { fixes, silence, installSynapse } = PORTING_OPTIONS.read(options);
    const result = await portHomeserver(
      {
        given: CONFIG_OPTIONS.read(options, system),
        target: await postgresAddress("--to", options.to, options.toPasswordFile, system),
        folder: resolve(here, options.out),
        fixes,
        silence,
        synapse: options.synapse === undefined ? undefined : resolve(here, options.synapse),
        installSynapse,
        synapseVersion: options.synapseVersion,
        rehearsal: options.rehearse,
        dryRun: options.dryRun,
      },
      system,
      view,
    );
    return {
      findings: result.findings,
      details: portDetails(result),
      lines: describePort(result),
      failure: result.kind === "blocked" ? failureForFindings(result.findings) : undefined,
    };
  },
};
