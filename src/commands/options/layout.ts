import { resolve } from "node:path";
import { z } from "zod";
import { chooseLayout, type ChosenLayout } from "../../move/restore/layouts/choose.ts";
import { LAYOUTS } from "../../move/restore/layouts/layout.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { listenOf, ownerOf } from "./shared.ts";

/** How Synapse will be installed on the new host. */
export const LAYOUT_OPTIONS = optionGroup({
  heading: "Layout of the new server",
  options: [
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
    { flags: "--unit <name>", about: "systemd unit that will start it: blocked until open", many: true },
    {
      flags: "--systemd-dir <folder>",
      about: "where systemd reads units",
      default: "/etc/systemd/system",
    },
    { flags: "--synapse <path>", about: "Python or environment that Synapse is installed in on this host" },
    {
      flags: "--synapse-version <version>",
      about: "with compose: version of the image",
      default: "the newest",
    },
    {
      flags: "--database-port <port>",
      about: "with compose: loopback port for restoring the database",
      default: "54320",
    },
  ],
  schema: {
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
  },
  /** Throws `bad-usage`, `permission-denied`. */
  read(given, system: System): ChosenLayout {
    const { machine } = system;
    const absolute = (path: string | undefined) =>
      path === undefined ? undefined : resolve(machine.folder, path);
    const unitName = (name: string) => (/\.\w+$/.test(name) ? name : `${name}.service`);
    return chooseLayout(
      {
        layout: given.layout,
        folder: absolute(given.folder),
        configDir: absolute(given.configDir),
        mediaDir: absolute(given.mediaDir),
        owner: ownerOf(given.owner, system),
        listen: given.listen === undefined ? undefined : listenOf(given.listen),
        databasePort: given.databasePort,
        units: given.unit.map(unitName),
        withoutWorkers: given.withoutWorkers,
        prepareOnly: given.prepareOnly,
      },
      machine,
    );
  },
});
