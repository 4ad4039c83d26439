import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { DatabaseTarget } from "../../homeserver/database/target.ts";
import { chooseLayout, type ChosenLayout } from "../../move/restore/layouts/choose.ts";
import { COMPOSE_DATABASE, composePassword } from "../../move/restore/layouts/compose.ts";
import { LAYOUTS } from "../../move/restore/layouts/layout.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";
import { type GivenTarget, parseDatabaseTarget } from "./database.ts";
import { listenOf, ownerOf } from "./shared.ts";

/** How Synapse will be installed on the new host. */
export const LAYOUT_OPTIONS: readonly Option[] = [
  {
    flags: "--layout <name>",
    about: `how Synapse is installed: ${LAYOUTS.join(", ")}; without it, use your own folders and your own way to start it`,
  },
  {
    flags: "--prepare-only",
    about:
      "restore the database, media and configuration, but write nothing that starts or blocks a server: if you start Synapse by other means",
  },
  { flags: "--folder <folder>", about: "with pip or compose: the folder for everything" },
  { flags: "--config-dir <folder>", about: "folder for configuration and signing key" },
  { flags: "--media-dir <folder>", about: "folder for the media store" },
  { flags: "--owner <user>", about: "account that will run Synapse, and will own the files" },
  {
    flags: "--listen <address:port>",
    about: "where the new server listens for clients, if it differs from the old one",
  },
  { flags: "--public-baseurl <url>", about: "address of the new server for clients, if it changes" },
  { flags: "--without-workers", about: "let the main process do the work of the old host's workers" },
  {
    flags: "--unit <name>",
    about: "systemd unit that will start it: blocked until open; may be given several times",
    many: true,
  },
  { flags: "--systemd-dir <folder>", about: "where systemd reads units; default: /etc/systemd/system" },
  { flags: "--synapse <path>", about: "Python or environment that Synapse is installed in on this host" },
  { flags: "--synapse-version <version>", about: "with compose: version of the image; default: the newest" },
  {
    flags: "--database-port <port>",
    about: "with compose: loopback port for restoring the database; default: 54320",
  },
];

export const layoutSchema = {
  layout: z.enum(LAYOUTS).optional(),
  prepareOnly: z.boolean().default(false),
  folder: z.string().min(1).optional(),
  configDir: z.string().min(1).optional(),
  mediaDir: z.string().min(1).optional(),
  owner: z.string().optional(),
  listen: z
    .string()
    .regex(/^.+:\d{1,5}$/, "write ADDRESS:PORT")
    .optional(),
  publicBaseurl: z.url({ protocol: /^https?$/ }).optional(),
  withoutWorkers: z.boolean().default(false),
  unit: z.array(z.string().regex(/^[\w@:.\\-]+$/, "is not the name of a unit")).default([]),
  systemdDir: z.string().min(1).optional(),
  synapse: z.string().min(1).optional(),
  synapseVersion: z
    .string()
    .regex(/^v?\d+\.\d+\.\d+\w*$/, "write it as 1.163.2")
    .transform((text) => text.replace(/^v/, ""))
    .optional(),
  databasePort: z.coerce.number().int().min(1).max(65_535).default(54_320),
};

export type LayoutGiven = z.infer<z.ZodObject<typeof layoutSchema>>;

/** Throws `bad-usage`, `permission-denied`. */
export function layoutOf(options: LayoutGiven, system: System): ChosenLayout {
  const { machine } = system;
  const absolute = (path: string | undefined) =>
    path === undefined ? undefined : resolve(machine.folder, path);
  const unitName = (name: string) => (/\.\w+$/.test(name) ? name : `${name}.service`);
  return chooseLayout(
    {
      layout: options.layout,
      folder: absolute(options.folder),
      configDir: absolute(options.configDir),
      mediaDir: absolute(options.mediaDir),
      owner: ownerOf(options.owner, system),
      listen: options.listen === undefined ? undefined : listenOf(options.listen),
      databasePort: options.databasePort,
      units: options.unit.map(unitName),
      withoutWorkers: options.withoutWorkers,
      prepareOnly: options.prepareOnly,
    },
    machine,
  );
}

/**
 * The database to restore, and its address from this host if it differs from Synapse's. A layout with its own database
 * needs no address. Throws `bad-usage`, and errors of the database connection.
 */
export async function databaseOf(
  given: GivenTarget,
  { compose }: ChosenLayout,
  system: System,
): Promise<{ target: DatabaseTarget; here: Record<string, string> | undefined }> {
  if (compose) {
    if (given.database !== undefined)
      throw new MigrationError("bad-usage", "--layout compose has its own database: leave out --database");
    const here = { host: "127.0.0.1", port: String(compose.databasePort) };
    const password = await composePassword(compose.folder, system.files, system.machine);
    const address = { parameters: { ...COMPOSE_DATABASE, ...here }, password };
    return { target: { engine: "postgres", address }, here };
  }
  return { target: await parseDatabaseTarget(given, system), here: undefined };
}
