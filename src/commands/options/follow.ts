import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { StandbyPlace } from "../../move/follow/choose-standby.ts";
import type { OldHost } from "../../move/connect.ts";
import type { LogicalPlace } from "../../move/follow/logical/choose.ts";
import type { MediaOrder } from "../../move/follow/media/settle.ts";
import { chooseLayout, type LayoutOptions } from "../../move/restore/layouts/choose.ts";
import type { System } from "../../system/system.ts";
import { optionGroup } from "../command.ts";
import { parseDatabaseAddress } from "./database.ts";
import { ownerOf } from "./shared.ts";

const SOURCE_COMMAND = "synlift follow-source";
const FOLDER = "synlift-move";
const CONFIG_DIR = "/etc/matrix-synapse";
const SYSTEMD_DIR = "/etc/systemd/system";

/** Where a copy that follows is remembered. */
export const FOLLOW_FOLDER = {
  flags: "--config-dir <folder>",
  about: "where the new server's configuration will be, as for pull; what follows is remembered there",
  default: CONFIG_DIR,
  schema: { configDir: z.string().min(1).default(CONFIG_DIR) },
};

export const SYSTEMD_DIR_OPTION = {
  flags: "--systemd-dir <folder>",
  about: "where systemd reads units",
  default: SYSTEMD_DIR,
  schema: { systemdDir: z.string().min(1).default(SYSTEMD_DIR) },
};

/** How synlift on the old host is reached, for a copy that follows. */
export const FOLLOWED_HOST_OPTIONS = optionGroup({
  heading: "Old host",
  options: [
    {
      flags: "--source-command <command>",
      about: "command that starts synlift on the old host, with options that its configuration needs",
      default: SOURCE_COMMAND,
    },
    {
      flags: "--export-folder <folder>",
      about: "folder on the old host for the record of what is changed there, which rollback needs",
      default: FOLDER,
    },
    { flags: "--ssh-config <file>", about: "configuration file for ssh", default: "that of ssh" },
    {
      flags: "--restart-postgresql",
      about: "agree to one restart of PostgreSQL on the old host, where the copy needs one",
    },
  ],
  schema: {
    argument: z.string().min(1).optional(),
    sourceCommand: z.string().min(1).default(SOURCE_COMMAND),
    exportFolder: z.string().min(1).default(FOLDER),
    sshConfig: z.string().min(1).optional(),
    restartPostgresql: z.boolean().default(false),
  },
  read: (given, { machine }: Pick<System, "machine">): OldHost | undefined =>
    given.argument === undefined
      ? undefined
      : {
          address: given.argument,
          sshConfig: given.sshConfig === undefined ? undefined : resolve(machine.folder, given.sshConfig),
          senderCommand: given.sourceCommand,
          folder: given.exportFolder,
        },
});

/** Where the copy is made. */
export const STANDBY_OPTIONS = optionGroup({
  heading: "Copy on this host",
  options: [
    {
      flags: "--cluster <name>",
      about: "with Debian: name of the PostgreSQL cluster that is made, and stays the new server's database",
      default: "synapse",
    },
    {
      flags: "--data-dir <folder>",
      about: "folder for the copy; without --cluster, a server that nothing starts when this host starts",
      default: "with Debian, that of the cluster",
    },
    {
      flags: "--port <port>",
      about: "port of the new PostgreSQL; also for a copy that was begun, which keeps its data",
      default: "the first free one from 5432 on",
    },
    {
      flags: "--postgres-programs <folder>",
      about: "folder with the programs of PostgreSQL's server, if they are not found",
    },
    {
      flags: "--max-rate <rate>",
      about: "limit for the first copy and for media, as pg_basebackup takes it: 20M is 20 MiB a second",
      default: "none",
    },
    {
      flags: "--checkpoint <manner>",
      about:
        "what the old server does before the copy: spread takes up to some minutes and slows nobody down, fast writes everything at once",
      default: "spread",
    },
  ],
  schema: {
    cluster: z
      .string()
      .regex(/^[A-Za-z0-9_][\w.-]*$/, "is not the name of a cluster")
      .optional(),
    dataDir: z.string().min(1).optional(),
    port: z.coerce.number().int().min(1024).max(65_535).optional(),
    postgresPrograms: z.string().min(1).optional(),
    maxRate: z
      .string()
      .regex(/^\d{1,7}[kM]?$/, "write it as 20M")
      .optional(),
    checkpoint: z.enum(["spread", "fast"]).default("spread"),
  },
  read(given, { machine }: Pick<System, "machine">): StandbyPlace {
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(machine.folder, path);
    return {
      cluster: given.cluster,
      dataDir: here(given.dataDir),
      programs: here(given.postgresPrograms),
      port: given.port,
    };
  },
});

/** What is copied beside the database. */
export const MEDIA_BESIDE_OPTIONS = optionGroup({
  heading: "Media beside the database",
  options: [
    {
      flags: "--media-dir <folder>",
      about: "folder for the new server's media store, as for pull: empty, or from an earlier run",
      default: `with --config-dir ${CONFIG_DIR}, that of --layout debian`,
    },
    {
      flags: "--layout <name>",
      about: "debian: folder and account of Debian's package, as for pull",
      default: `debian with --config-dir ${CONFIG_DIR}`,
    },
    { flags: "--owner <user>", about: "account that will run Synapse, and will own the media" },
    {
      flags: "--media-every <time>",
      about: "time between two passes over the media: 90s, 15m or 2h",
      default: "1h",
    },
    {
      flags: "--without-media",
      about: "copy no media beside the database: pull --followed copies them before it stops the old server",
    },
  ],
  schema: {
    mediaDir: z.string().min(1).optional(),
    layout: z.enum(["debian"]).optional(),
    owner: z.string().optional(),
    mediaEvery: z
      .string()
      .regex(/^[1-9]\d{0,5}[smh]$/, "write it as 90s, 15m or 2h")
      .optional(),
    withoutMedia: z.boolean().default(false),
  },
  read(given, configDir: string, maxRate: string | undefined, system: System): MediaOrder {
    const { machine } = system;
    const isDebian = given.layout !== undefined || configDir === CONFIG_DIR;
    return {
      isLeftOut: given.withoutMedia,
      isGiven: given.mediaDir !== undefined || given.layout !== undefined || given.owner !== undefined,
      every: given.mediaEvery === undefined ? undefined : secondsOf(given.mediaEvery),
      maxRate: maxRate === undefined ? undefined : bytesOf(maxRate),
      choose() {
        const mediaDir = given.mediaDir === undefined ? undefined : resolve(machine.folder, given.mediaDir);
        if (!isDebian && mediaDir === undefined)
          throw new MigrationError("bad-usage", "--media-dir: must be given, as for pull", {
            hint: "name the folder for the new server's media; or leave media out: --without-media",
          });
        const wanted: LayoutOptions = {
          layout: isDebian ? "debian" : undefined,
          folder: undefined,
          configDir,
          mediaDir,
          owner: ownerOf(given.owner, system),
          listen: undefined,
          databasePort: 0,
          units: [],
          withoutWorkers: false,
          prepareOnly: false,
        };
        try {
          const { mediaDir: dir, owner } = chooseLayout(wanted, machine);
          return { dir, owner };
        } catch (error) {
          if (!(error instanceof MigrationError)) throw error;
          const hint = `${error.hint ?? ""}; or leave media out here: --without-media`;
          throw new MigrationError(error.code, error.message, { hint, cause: error });
        }
      },
    };
  },
});

const UNITS = { s: 1, m: 60, h: 3600 };

function secondsOf(text: string): number {
  const unit = text.at(-1) as keyof typeof UNITS;
  return Number(text.slice(0, -1)) * UNITS[unit];
}

/** A bare number is in KiB (PostgreSQL documentation, pg_basebackup). */
function bytesOf(rate: string): number {
  const number = Number.parseInt(rate, 10);
  return number * (rate.endsWith("M") ? 1024 * 1024 : 1024);
}

/** Where logical replication copies to. */
export const LOGICAL_OPTIONS = optionGroup({
  heading: "Copy by logical replication, into another major version of PostgreSQL",
  options: [
    {
      flags: "--road <kind>",
      about: "standby or logical; left out, a standby where one is possible and no --database is given",
    },
    {
      flags: "--database <address>",
      about:
        "the new database, on a PostgreSQL 16 or newer of this host: 'host=… user=… dbname=…', without password; it and its role are created where they do not exist",
    },
    {
      flags: "--database-password-file <file>",
      about:
        "file that contains only that user's password; if there is no such file, a random one is written to it",
    },
    {
      flags: "--admin-database <address>",
      about: "how a superuser of that PostgreSQL connects, without password: 'host=… user=… dbname=…'",
      default: "the user postgres through the socket of this host",
    },
    {
      flags: "--admin-database-password-file <file>",
      about: "file that contains only the administrator's password",
    },
  ],
  schema: {
    road: z.enum(["standby", "logical"]).optional(),
    database: z.string().min(1).optional(),
    databasePasswordFile: z.string().min(1).optional(),
    adminDatabase: z.string().min(1).optional(),
    adminDatabasePasswordFile: z.string().min(1).optional(),
  },
  /** Undefined where no database is named. Throws `bad-usage`. */
  async read(given, system: System): Promise<LogicalPlace | undefined> {
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(system.machine.folder, path);
    if (given.database === undefined) return undefined;
    const [passwordFile, adminFile] = [
      here(given.databasePasswordFile),
      here(given.adminDatabasePasswordFile),
    ];
    return {
      database: await parseDatabaseAddress(given.database, undefined, system),
      passwordFile,
      administrator:
        given.adminDatabase === undefined
          ? undefined
          : await parseDatabaseAddress(given.adminDatabase, adminFile, system, "--admin-database"),
      administratorPasswordFile: adminFile,
    };
  },
});
