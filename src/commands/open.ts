import { resolve } from "node:path";
import { z } from "zod";
import { describeOpened } from "../move/open/result-text.ts";
import { openRestored, type OpenResult } from "../move/open/run.ts";
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
    const { machine } = system;
    const absolute = (path: string) => resolve(machine.folder, path);
    const { configDir, workingDirectory, html, isolated, port } = options;
    const result = await openRestored(
      {
        folder: absolute(configDir),
        workingFolder: absolute(workingDirectory ?? "."),
        key: KEY_OPTIONS.read(options),
        start: options.start,
        startCommand: options.startCommand,
        stopCommand: options.stopCommand,
        url: options.url,
        tokenFile: options.tokenFile,
        synapse: options.synapse,
        accept: options.accept,
        rehearsalOk: options.rehearsalOk,
        trialPort: isolated ? port : undefined,
        dryRun: options.dryRun,
        html: html === undefined ? undefined : absolute(html),
      },
      system,
      view,
    );
    return {
      findings: result.findings,
      details: detailsOf(result),
      lines: describeOpened(result),
      failure: "failure" in result ? result.failure : undefined,
    };
  },
};

function detailsOf(result: OpenResult): Outcome["details"] {
  if (result.kind === "trial") return { opened: false, url: result.url, stop: result.stop };
  if (result.kind !== "opened") return { opened: false };
  const { serverName, outageSeconds = null, report } = result;
  return { opened: true, serverName, outageSeconds, report };
}
