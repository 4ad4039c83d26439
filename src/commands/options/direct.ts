import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { callByCommand, callBySsh, type SenderCall } from "../../move/direct/connect.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";

/** Options of a direct transfer. */
export const DIRECT_OPTIONS: readonly Option[] = [
  {
    flags: "--from <address>",
    about:
      "transfer directly from the old host, without a bundle: ssh://[user@]host[:port]; requires synlift there",
  },
  {
    flags: "--export-command <command>",
    about: "command that starts the export on the old host, with its options; default: synlift export",
  },
  {
    flags: "--export-folder <folder>",
    about: "folder on the old host for the state of the export, which rollback needs; default: synlift-move",
  },
  { flags: "--ssh-config <file>", about: "configuration file for ssh, instead of the default" },
  {
    flags: "--from-command <command>",
    about:
      "instead of --from: command that runs export --to-receiver --out FOLDER with its standard input and output",
  },
  { flags: "--rehearse", about: "with --from: rehearse; the old server keeps running" },
  {
    flags: "--yes",
    about:
      "do not ask: with --from, stop and fence the old server; otherwise, empty a database that an interrupted restore left partly restored",
  },
  {
    flags: "--compress",
    about: "with --from: compress the database during the transfer, for a slow connection",
  },
];

export const directSchema = {
  from: z.string().min(1).optional(),
  exportCommand: z.string().min(1).default("synlift export"),
  exportFolder: z.string().min(1).default("synlift-move"),
  sshConfig: z.string().min(1).optional(),
  fromCommand: z.string().min(1).optional(),
  rehearse: z.boolean().default(false),
  yes: z.boolean().default(false),
  compress: z.boolean().default(false),
};

type Given = z.infer<z.ZodObject<typeof directSchema>> & { readonly argument?: string | undefined };

/** How to start the sender of a direct transfer; undefined for a bundle. Throws `bad-usage`. */
export function senderCallOf(given: Given, { machine }: Pick<System, "machine">): SenderCall | undefined {
  const { argument, from, fromCommand, exportCommand, exportFolder: folder } = given;
  const named = [argument, from, fromCommand].filter((one) => one !== undefined);
  if (named.length !== 1) {
    throw new MigrationError(
      "bad-usage",
      named.length === 0
        ? "give a bundle, --from or --from-command"
        : "give only one of a bundle, --from and --from-command",
      { hint: "the folder of a bundle, or the old host with --from ssh://…" },
    );
  }
  if (from !== undefined) {
    const sshConfig = given.sshConfig === undefined ? undefined : resolve(machine.folder, given.sshConfig);
    return callBySsh({ from, exportCommand, folder, sshConfig });
  }
  if (fromCommand !== undefined) return callByCommand(fromCommand);
  const idle = (["rehearse", "compress"] as const).find((name) => given[name]);
  if (idle === undefined) return undefined;
  throw new MigrationError("bad-usage", `--${idle} requires --from or --from-command`, {
    hint: "leave it out, or give the old host with --from",
  });
}
