import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { ACCEPT, DRY_RUN, KEY_OPTIONS, parseOptions, TRACE } from "./options/shared.ts";
import { START_OPTIONS } from "./options/start.ts";

const schema = z.object({
  configDir: z.string().min(1),
  rehearsalOk: z.boolean().default(false),
  isolated: z.boolean().default(false),
  port: z.coerce.number().int().min(1).max(65_535).default(18_008),
  maintenance: z.string().min(1).optional(),
  html: z.string().min(1).optional(),
  ...START_OPTIONS.schema,
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
        {
          flags: "--maintenance <folder>",
          about:
            "the --out of the export, if that was on this host: once the new server answers, its web server's maintenance answer is taken away",
        },
        { flags: "--html <file>", about: "also write the result of the gates as an HTML page" },
        ACCEPT,
        TRACE,
      ],
    },
    START_OPTIONS,
    KEY_OPTIONS,
  ],
  example:
    "synlift open --config-dir /etc/matrix-synapse --passphrase-file /root/move.passphrase " +
    "--start-command 'systemctl start matrix-synapse' --stop-command 'systemctl stop matrix-synapse'",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ describeOpened, openDetails }, { openRestored }] = await Promise.all([
      import("../move/open/result-text.ts"),
      import("../move/open/run.ts"),
    ]);
    const { machine } = system;
    const absolute = (path: string) => resolve(machine.folder, path);
    const { configDir, maintenance, html, isolated, port } = options;
    const result = await openRestored(
      {
        folder: absolute(configDir),
        ...START_OPTIONS.read(options, system),
        key: KEY_OPTIONS.read(options),
        accept: options.accept,
        rehearsalOk: options.rehearsalOk,
        trialPort: isolated ? port : undefined,
        dryRun: options.dryRun,
        maintenance: maintenance === undefined ? undefined : absolute(maintenance),
        html: html === undefined ? undefined : absolute(html),
      },
      system,
      view,
    );
    return {
      findings: result.findings,
      details: openDetails(result),
      lines: describeOpened(result),
      failure: "failure" in result ? result.failure : undefined,
    };
  },
};
