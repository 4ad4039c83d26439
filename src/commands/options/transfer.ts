import { resolve } from "node:path";
import { z } from "zod";
import type { System } from "../../system/system.ts";
import type { DestinationSettings } from "../../transfer/destination.ts";
import type { Persistence } from "../../transfer/transfer-each.ts";
import { optionGroup } from "../command.ts";
import { sizeOf } from "./shared.ts";

/** A number of an option. */
export const wholeNumber = (least: number, most: number) => {
  const error = `write a whole number from ${least} to ${most}`;
  return z.coerce.number(error).int(error).min(least, error).max(most, error);
};

/** The forms of an address, for the help. */
export const ADDRESS_FORMS =
  "a folder, sftp://[user@]host[:port]/path, https://host with a provider's invitation, or rclone:remote:path for everything that rclone is configured for";

/** How files are sent or fetched. */
export const TRANSFER_OPTIONS = optionGroup({
  heading: "Transfer",
  options: [
    {
      flags: "--bandwidth <rate>",
      about: "bytes a second, such as 20m, of all connections together",
      default: "no limit",
    },
    { flags: "--parallel <number>", about: "files at a time, each over its own connection", default: "2" },
    {
      flags: "--silence <seconds>",
      about: "give up an attempt after this time without a byte",
      default: "60",
    },
    {
      flags: "--attempts <number>",
      about: "attempts in a row that bring nothing new, with growing waits, before it ends with code 39",
      default: "8",
    },
    { flags: "--ssh-config <file>", about: "configuration file for ssh", default: "that of ssh" },
    { flags: "--rclone-config <file>", about: "configuration file for rclone", default: "that of rclone" },
    {
      flags: "--invitation <file>",
      about: "for https://: the provider's invitation, or its token; /dev/fd/3 is an inherited descriptor",
      default: "asked for",
    },
    { flags: "--ca <file>", about: "for https://: authorities that sign its certificate", default: "Node's" },
  ],
  schema: {
    bandwidth: z
      .string()
      .transform((text) => sizeOf(text, "--bandwidth"))
      .optional(),
    parallel: wholeNumber(1, 16).default(2),
    silence: wholeNumber(1, 3600).default(60),
    attempts: wholeNumber(1, 1000).default(8),
    sshConfig: z.string().min(1).optional(),
    rcloneConfig: z.string().min(1).optional(),
    invitation: z.string().min(1).optional(),
    ca: z.string().min(1).optional(),
  },
  read(given, { machine }: Pick<System, "machine">): DestinationSettings & Persistence {
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(machine.folder, path);
    return {
      bandwidth: given.bandwidth,
      parallel: given.parallel,
      silence: given.silence,
      attempts: given.attempts,
      sshConfig: here(given.sshConfig),
      rcloneConfig: here(given.rcloneConfig),
      invitation: here(given.invitation),
      authorities: here(given.ca),
    };
  },
});
