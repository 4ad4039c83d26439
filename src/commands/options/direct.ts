import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { type Road, roadByCommand, roadBySsh } from "../../move/direct/connect.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";

/** How a homeserver comes straight from its old host. */
export const ROAD_OPTIONS: readonly Option[] = [
  {
    flags: "--from <address>",
    about:
      "straight from the old host, without a bundle: ssh://[user@]host[:port]; synlift is installed there too",
  },
  {
    flags: "--export-command <command>",
    about: "what starts the export on the old host, with its options; synlift export when left out",
  },
  {
    flags: "--export-folder <folder>",
    about: "on the old host, for what export remembers there and rollback needs; synlift-move when left out",
  },
  { flags: "--ssh-config <file>", about: "configuration file for ssh, instead of your own" },
  {
    flags: "--from-command <command>",
    about:
      "instead of --from: command whose input and output are those of an export --to-receiver --out FOLDER",
  },
  { flags: "--rehearse", about: "with --from: practise; the old server keeps running" },
  {
    flags: "--yes",
    about:
      "ask nothing: with --from, stop and fence the old server; else, empty a database that an interrupted restore has half filled",
  },
  { flags: "--compress", about: "with --from: compress the database on the way, for a slow connection" },
];

export const roadSchema = {
  from: z.string().min(1).optional(),
  exportCommand: z.string().min(1).default("synlift export"),
  exportFolder: z.string().min(1).default("synlift-move"),
  sshConfig: z.string().min(1).optional(),
  fromCommand: z.string().min(1).optional(),
  rehearse: z.boolean().default(false),
  yes: z.boolean().default(false),
  compress: z.boolean().default(false),
};

type Given = z.infer<z.ZodObject<typeof roadSchema>> & { readonly argument?: string | undefined };

/** The road that was asked for; undefined when a bundle was named. Throws `bad-usage`. */
export function roadOf(given: Given, { machine }: Pick<System, "machine">): Road | undefined {
  const { argument, from, fromCommand, exportCommand, exportFolder: folder } = given;
  const named = [argument, from, fromCommand].filter((one) => one !== undefined);
  if (named.length !== 1) {
    throw new MigrationError(
      "bad-usage",
      named.length === 0
        ? "there is nothing to restore from"
        : "a homeserver is restored from one place: a bundle, --from or --from-command",
      { hint: "name the folder of a bundle, or the old host with --from ssh://…" },
    );
  }
  if (from !== undefined) {
    const sshConfig = given.sshConfig === undefined ? undefined : resolve(machine.folder, given.sshConfig);
    return roadBySsh({ from, exportCommand, folder, sshConfig });
  }
  if (fromCommand !== undefined) return roadByCommand(fromCommand);
  const idle = (["rehearse", "compress"] as const).find((name) => given[name]);
  if (idle === undefined) return undefined;
  throw new MigrationError("bad-usage", `--${idle} is for what comes straight from the old host`, {
    hint: "leave it out, or name the old host with --from",
  });
}
