import { resolve } from "node:path";
import { z } from "zod";
import { callByCommand, callBySsh, SENDER_COMMAND, type SenderCall } from "../../move/connect.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { MAINTENANCE_AT_STOP, senderArguments } from "./maintenance-at-stop.ts";

const EXPORT_FOLDER = "synlift-move";

/** How the old host of a direct transfer is reached. */
export const OLD_HOST_OPTIONS = optionGroup({
  heading: "Old host",
  options: [
    {
      flags: "--export-command <command>",
      about: "command that starts the sender on the old host, with its options",
      default: SENDER_COMMAND,
    },
    {
      flags: "--export-folder <folder>",
      about: "folder on the old host for the state of the export, which rollback needs",
      default: EXPORT_FOLDER,
    },
    { flags: "--ssh-config <file>", about: "configuration file for ssh", default: "that of ssh" },
    {
      flags: "--from-command <command>",
      about: `instead of ADDRESS: command that runs ${SENDER_COMMAND} --out FOLDER with its standard input and output`,
    },
    ...MAINTENANCE_AT_STOP.options,
  ],
  schema: {
    ...MAINTENANCE_AT_STOP.schema,
    argument: z.string().min(1).optional(),
    exportCommand: z.string().min(1).optional(),
    exportFolder: z.string().min(1).optional(),
    sshConfig: z.string().min(1).optional(),
    fromCommand: z.string().min(1).optional(),
  },
  /** Throws `bad-usage`. */
  read(given, { machine }: Pick<System, "machine">): SenderCall {
    if (given.fromCommand !== undefined) return callByCommand(given.fromCommand);
    const oldHost = {
      address: given.argument ?? "",
      senderCommand: [given.exportCommand ?? SENDER_COMMAND, ...senderArguments(given)].join(" "),
      folder: given.exportFolder ?? EXPORT_FOLDER,
      sshConfig: given.sshConfig === undefined ? undefined : resolve(machine.folder, given.sshConfig),
    };
    return callBySsh(oldHost, { option: "--export-command" });
  },
});
