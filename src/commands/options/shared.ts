import { resolve } from "node:path";
import { z } from "zod";
import type { KeySource } from "../../bundle/opening-keys.ts";
import type { PassphraseSource } from "../../bundle/passphrase.ts";
import { MigrationError } from "../../errors.ts";
import type { PathPair } from "../../homeserver/path-map.ts";
import type { ConfigSource } from "../../homeserver/read.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import type { GivenStop } from "../../move/export/stop-plan.ts";
import type { Account } from "../../system/machine.ts";
import type { System } from "../../system/system.ts";
import type { Given, Option } from "../command.ts";
import { DATABASE_COMMAND, databaseCommandSchema, MAS_CONFIG, masConfigSchema } from "./database.ts";

/** Options that several commands share. */
export const PASSPHRASE_OPTIONS: readonly Option[] = [
  { flags: "--passphrase-file <file>", about: "file that contains only the passphrase" },
  { flags: "--passphrase-fd <number>", about: "inherited file descriptor to read the passphrase from" },
  { flags: "--passphrase-command <command>", about: "command that prints the passphrase" },
];

/** The recipients of a bundle. */
export const RECIPIENT: Option = {
  flags: "--recipient <key>",
  about: "public key to encrypt to, instead of a passphrase: a file, or a fingerprint in your keyring",
  many: true,
};

export const recipientSchema = { recipient: z.array(z.string().min(1)).default([]) };

/** The key of a bundle. */
export const KEY_OPTIONS: readonly Option[] = [
  ...PASSPHRASE_OPTIONS,
  {
    flags: "--gpg-home <folder>",
    about: "GnuPG home with a recipient's secret key; a passphrase is then that key's",
  },
];

/** Where the configuration is, as Synapse is started with it. */
export const CONFIG_OPTIONS: readonly Option[] = [
  {
    flags: "--config <path>",
    about: "configuration file or folder, as given to Synapse with -c; in the same order",
    many: true,
  },
  {
    flags: "--working-directory <folder>",
    about: "where Synapse runs: relative paths in its configuration start there",
  },
  {
    flags: "--map <inside=outside>",
    about: "path in the container and the same path on this host: /data=/srv/synapse",
    many: true,
  },
  DATABASE_COMMAND,
  MAS_CONFIG,
];

export const configSchema = {
  workingDirectory: z.string().optional(),
  map: z.array(z.string().transform(pathPairOf)).default([]),
  ...databaseCommandSchema,
  ...masConfigSchema,
};

/** The source of the configuration, from those options. */
export const configSource = (
  {
    config,
    workingDirectory,
    map,
    databaseCommand,
    masConfig,
  }: {
    config: string[];
    workingDirectory?: string | undefined;
    map: PathPair[];
    databaseCommand?: string[] | undefined;
    masConfig: string[];
  },
  { machine, signal }: System,
): ConfigSource => ({
  configPaths: config.map((path) => resolve(machine.folder, path)),
  workingFolder: resolve(machine.folder, workingDirectory ?? "."),
  map,
  databaseCommand,
  ...(masConfig.length === 0 ? {} : { masConfig: masConfig.map((path) => resolve(machine.folder, path)) }),
  signal,
});

/** The same, where what was left out is searched on this host. */
export function givenSource(
  { config, workingDirectory, map, databaseCommand, masConfig }: Parameters<typeof configSource>[0],
  { machine }: Pick<System, "machine">,
): GivenSource {
  const here = (path: string) => resolve(machine.folder, path);
  return {
    configPaths: config.map(here),
    workingFolder: workingDirectory === undefined ? undefined : here(workingDirectory),
    map,
    databaseCommand,
    masConfig: masConfig.map(here),
    folder: machine.folder,
  };
}

export const DRY_RUN: Option = {
  flags: "--dry-run",
  about: "check everything and show what would be done, without changing anything",
};

export const ACCEPT: Option = {
  flags: "--accept <id>",
  about: "accept the finding with this id and continue; may be given several times",
  many: true,
};

/** How the old server is stopped and fenced. */
export const STOP_OPTIONS: readonly Option[] = [
  { flags: "--yes", about: "stop and fence the server without asking" },
  {
    flags: "--unit <name>",
    about: "systemd unit that runs it, if it is not found; also those of workers",
    many: true,
  },
  { flags: "--container <name>", about: "container that runs it, if it is not found", many: true },
  {
    flags: "--stop-command <command>",
    about: "command that stops it and its workers, if none of the above applies",
  },
  {
    flags: "--start-command <command>",
    about: "command that starts it again, for rollback; requires --stop-command",
  },
  { flags: "--already-stopped", about: "you stopped it yourself: this is checked, and it is fenced" },
  { flags: "--no-fence", about: "do not fence host and database: the server can be started again" },
];

export const stopSchema = {
  yes: z.boolean().default(false),
  unit: z.array(z.string().regex(/^[\w@:.\\-]+$/, "is not the name of a unit")).default([]),
  container: z.array(z.string().regex(/^[\w.-]+$/, "is not the name of a container")).default([]),
  stopCommand: z.string().min(1).optional(),
  startCommand: z.string().min(1).optional(),
  alreadyStopped: z.boolean().default(false),
  fence: z.boolean().default(true),
};

/** How the server is to be stopped, from those options. */
export const givenStop = (
  options: z.infer<z.ZodObject<typeof stopSchema & typeof dryRunSchema>>,
): GivenStop => ({
  unit: options.unit,
  container: options.container,
  stopCommand: options.stopCommand,
  startCommand: options.startCommand,
  alreadyStopped: options.alreadyStopped,
  fence: options.fence,
  yes: options.yes,
  dryRun: options.dryRun,
});

export const passphraseSchema = {
  passphraseFile: z.string().optional(),
  passphraseFd: z.coerce.number().int().min(3).optional(),
  passphraseCommand: z.string().optional(),
};

export const keySchema = { ...passphraseSchema, gpgHome: z.string().min(1).optional() };

export const acceptSchema = { accept: z.array(z.string()).default([]) };
export const dryRunSchema = { dryRun: z.boolean().default(false) };

/** "toReceiver" as it is typed: "--to-receiver". */
export const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Validates the options. Throws `bad-usage` naming each option that is wrong. */
export function parseOptions<Shape extends z.ZodType>(schema: Shape, given: Given): z.infer<Shape> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message, code }) => {
    const name = path[0] === "argument" ? "the bundle" : flagOf(String(path[0]));
    return `${name}: ${code === "invalid_type" && given[String(path[0])] === undefined ? "must be given" : message.toLowerCase()}`;
  });
  throw new MigrationError("bad-usage", faults.join("; "), { hint: "--help shows an example" });
}

export const passphraseSource = (options: {
  passphraseFile?: string | undefined;
  passphraseFd?: number | undefined;
  passphraseCommand?: string | undefined;
}): PassphraseSource => ({
  file: options.passphraseFile,
  descriptor: options.passphraseFd,
  command: options.passphraseCommand,
});

export const keySource = (
  options: Parameters<typeof passphraseSource>[0] & { gpgHome?: string | undefined },
): KeySource => ({ ...passphraseSource(options), gpgHome: options.gpgHome });

/** "100m" as GNU split reads it: k, m, g are powers of 1024; a bare number is bytes. Throws `bad-usage`. */
export function sizeOf(text: string, option = "--split"): number {
  const found = /^(\d{1,12})([kmgt]?)$/i.exec(text);
  const bytes = found
    ? Number(found[1]) * 1024 ** ["", "k", "m", "g", "t"].indexOf(found[2]!.toLowerCase())
    : 0;
  if (bytes < 1 || !Number.isSafeInteger(bytes)) {
    throw new MigrationError("bad-usage", `${option}: ${text} is not a size`, {
      hint: "write bytes, or a number with k, m or g: 100m",
    });
  }
  return bytes;
}

/** "archive,backup", either of them, or "none". Throws `bad-usage`. */
export function mediaArtifactsOf(text: string): { backup: boolean; archive: boolean } {
  const kinds = text.split(",");
  if (text !== "none" && kinds.some((kind) => kind !== "archive" && kind !== "backup")) {
    throw new MigrationError(
      "bad-usage",
      `--media: ${text} is none of backup, archive, archive,backup and none`,
    );
  }
  return { backup: kinds.includes("backup"), archive: kinds.includes("archive") };
}

/** The text of a valid size, for a command that is shown. Throws `bad-usage`. */
export function sizeText(text: string): string {
  sizeOf(text);
  return text;
}

/** "/data=/srv/synapse". Throws `bad-usage`. */
function pathPairOf(text: string): PathPair {
  const [inside, outside, ...more] = text.split("=");
  if (inside?.startsWith("/") && outside?.startsWith("/") && more.length === 0) return { inside, outside };
  throw new MigrationError("bad-usage", `--map: ${text} is not two absolute paths`, {
    hint: "for example --map /data=/srv/synapse: the path in the container, then the one on this host",
  });
}

/** The account that will own restored files. Throws `bad-usage`, `permission-denied`. */
export function ownerOf(name: string | undefined, { machine }: System): Account | undefined {
  if (name === undefined) return undefined;
  const account = machine.account(name);
  if (!account)
    throw new MigrationError("bad-usage", `--owner: this host has no account ${name}`, {
      hint: "install Synapse first, or create the account",
    });
  if (!machine.isRoot && account.name !== machine.user) {
    throw new MigrationError("permission-denied", `only root can change the owner of files to ${name}`, {
      hint: "run synlift as root, or as that account without --owner",
    });
  }
  return account;
}

/** "127.0.0.1:8008", "[::1]:8008". */
export function listenOf(text: string): { address: string; port: number } {
  const cut = text.lastIndexOf(":");
  const port = Number(text.slice(cut + 1));
  if (port < 1 || port > 65_535) throw new MigrationError("bad-usage", `--listen: ${port} is not a port`);
  return { address: text.slice(0, cut).replace(/^\[|\]$/g, ""), port };
}
