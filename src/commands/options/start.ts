import { resolve } from "node:path";
import { z } from "zod";
import type { OpenOrder } from "../../move/open/run.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";

/** How a restored server is started, stopped and checked. */
export const START_OPTIONS = optionGroup({
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
    {
      flags: "--enable",
      about: "also enable the unit that the start command names, so that it starts when this host boots",
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
  schema: {
    start: z.boolean().default(true),
    enable: z.boolean().default(false),
    startCommand: z.string().optional(),
    stopCommand: z.string().optional(),
    workingDirectory: z.string().optional(),
    synapse: z.string().min(1).optional(),
    url: z.url().optional(),
    tokenFile: z.string().optional(),
  },
  read: (
    { start, enable, startCommand, stopCommand, workingDirectory, synapse, url, tokenFile },
    { machine }: Pick<System, "machine">,
  ): Pick<
    OpenOrder,
    "start" | "enable" | "startCommand" | "stopCommand" | "workingFolder" | "synapse" | "url" | "tokenFile"
  > => ({
    start,
    enable,
    startCommand,
    stopCommand,
    workingFolder: resolve(machine.folder, workingDirectory ?? "."),
    synapse,
    url,
    tokenFile,
  }),
});
