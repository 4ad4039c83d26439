import { resolve } from "node:path";
import { z } from "zod";
import type { KeySource } from "../../bundle/opening-keys.ts";
import type { PassphraseSource } from "../../bundle/passphrase.ts";
import { MigrationError } from "../../errors.ts";
import type { PathPair } from "../../homeserver/path-map.ts";
import type { ConfigSource } from "../../homeserver/read.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import type { Account } from "../../system/machine.ts";
import type { System } from "../../system/system.ts";
import { type Given, type Option, optionGroup } from "../command.ts";
import { DATABASE_COMMAND, DATABASE_SERVER, MAS_CONFIG } from "./database.ts";

/** The passphrase of a bundle. */
export const PASSPHRASE_OPTIONS = optionGroup({
  heading: "Passphrase",
  options: [
    { flags: "--passphrase-file <file>", about: "file that contains only the passphrase" },
    { flags: "--passphrase-fd <number>", about: "inherited file descriptor to read the passphrase from" },
    { flags: "--passphrase-command <command>", about: "command that prints the passphrase" },
  ],
  schema: {
    passphraseFile: z.string().optional(),
    passphraseFd: z.coerce.number().int().min(3).optional(),
    passphraseCommand: z.string().optional(),
  },
  read: (given): PassphraseSource => ({
    file: given.passphraseFile,
    descriptor: given.passphraseFd,
    command: given.passphraseCommand,
  }),
});

/** Of an export that generates one. */
export const SHOW_PASSPHRASE = {
  flags: "--show-passphrase",
  about: "show a generated passphrase at the terminal, too; otherwise only the path of its file",
  schema: { showPassphrase: z.boolean().default(false) },
};

/** The recipients of a bundle. */
export const RECIPIENT = {
  flags: "--recipient <key>",
  about: "public key to encrypt to, instead of a passphrase: a file, or a fingerprint in your keyring",
  many: true,
  schema: { recipient: z.array(z.string().min(1)).default([]) },
};

/** The key that opens a bundle. */
export const KEY_OPTIONS = optionGroup({
  heading: "Key of the bundle",
  options: [
    ...PASSPHRASE_OPTIONS.options,
    {
      flags: "--gpg-home <folder>",
      about: "GnuPG home with a recipient's secret key; a passphrase is then that key's",
    },
  ],
  schema: { ...PASSPHRASE_OPTIONS.schema, gpgHome: z.string().min(1).optional() },
  read: (given): KeySource => ({ ...PASSPHRASE_OPTIONS.read(given), gpgHome: given.gpgHome }),
});

const PATH_OPTIONS: readonly Option[] = [
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
  DATABASE_SERVER,
  MAS_CONFIG,
];

const CONFIG_ABOUT = "configuration file or folder, as given to Synapse with -c; in the same order";

const pathSchema = {
  workingDirectory: z.string().optional(),
  map: z.array(z.string().transform(pathPairOf)).default([]),
  ...DATABASE_COMMAND.schema,
  ...DATABASE_SERVER.schema,
  ...MAS_CONFIG.schema,
};

/** Where the configuration is, as Synapse is started with it. What is left out is searched on this host. */
export const CONFIG_OPTIONS = optionGroup({
  heading: "Configuration of the homeserver",
  options: [
    {
      flags: "--config <path>",
      about: CONFIG_ABOUT,
      many: true,
      default: "that of the Synapse found on this host",
    },
    ...PATH_OPTIONS,
  ],
  schema: { config: z.array(z.string()).default([]), ...pathSchema },
  read(
    { config, workingDirectory, map, databaseCommand, databaseServer, masConfig },
    { machine }: Pick<System, "machine">,
  ) {
    const here = (path: string) => resolve(machine.folder, path);
    const source: GivenSource = {
      configPaths: config.map(here),
      workingFolder: workingDirectory === undefined ? undefined : here(workingDirectory),
      map,
      databaseCommand,
      databaseServer,
      masConfig: masConfig.map(here),
      folder: machine.folder,
    };
    return source;
  },
});

/** The same, where the configuration must be given. */
export const REQUIRED_CONFIG_OPTIONS = optionGroup({
  heading: CONFIG_OPTIONS.heading,
  options: [{ flags: "--config <path>", about: CONFIG_ABOUT, many: true, required: true }, ...PATH_OPTIONS],
  schema: { config: z.array(z.string()).min(1), ...pathSchema },
  read(
    { config, workingDirectory, map, databaseCommand, databaseServer, masConfig },
    { machine, signal }: System,
  ) {
    const here = (path: string) => resolve(machine.folder, path);
    const source: ConfigSource = {
      configPaths: config.map(here),
      workingFolder: here(workingDirectory ?? "."),
      map,
      databaseCommand,
      databaseServer,
      ...(masConfig.length === 0 ? {} : { masConfig: masConfig.map(here) }),
      signal,
    };
    return source;
  },
});

export const DRY_RUN = {
  flags: "--dry-run",
  about: "check everything and show what would be done, without changing anything",
  schema: { dryRun: z.boolean().default(false) },
};

/** Of long commands; read by main.ts, as it concerns the whole run. */
export const TRACE: Option = {
  flags: "--trace <file>",
  about: "write where the time goes, for Perfetto or chrome://tracing; outside the bundle's folder",
};

export const ACCEPT = {
  flags: "--accept <id>",
  about: "accept the finding with this id and continue",
  many: true,
  schema: { accept: z.array(z.string()).default([]) },
};

/** How the old server is stopped and fenced. */
export const STOP_OPTIONS = optionGroup({
  heading: "Stop and fence of the old server",
  options: [
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
  ],
  schema: {
    yes: z.boolean().default(false),
    unit: z.array(z.string().regex(/^[\w@:.\\-]+$/, "is not the name of a unit")).default([]),
    container: z.array(z.string().regex(/^[\w.-]+$/, "is not the name of a container")).default([]),
    stopCommand: z.string().min(1).optional(),
    startCommand: z.string().min(1).optional(),
    alreadyStopped: z.boolean().default(false),
    fence: z.boolean().default(true),
  },
  read: (given) => ({
    yes: given.yes,
    unit: given.unit,
    container: given.container,
    stopCommand: given.stopCommand,
    startCommand: given.startCommand,
    alreadyStopped: given.alreadyStopped,
    fence: given.fence,
  }),
});

/** A rule between options, by their names in camel case. */
export interface Rule<Name extends string> {
  readonly names: readonly Name[];
  /** The option that is wrong, and why; undefined when the rule holds. */
  readonly fault: (
    options: Readonly<Record<string, unknown>>,
  ) => { readonly option?: string; readonly message: string } | undefined;
}

/** The first option is refused unless one of the others is given. */
export const requires = <Name extends string>(option: Name, ...others: Name[]): Rule<Name> => ({
  names: [option, ...others],
  fault: (options) =>
    isGiven(option, options) && !others.some((other) => isGiven(other, options))
      ? { option, message: `requires ${others.map(flagOf).join(" or ")}` }
      : undefined,
});

/** The first option is refused together with any of the others. */
export const conflicts = <Name extends string>(option: Name, ...others: Name[]): Rule<Name> => ({
  names: [option, ...others],
  fault(options) {
    const also = others.filter((other) => isGiven(other, options));
    return isGiven(option, options) && also.length > 0
      ? { option, message: `cannot be combined with ${also.map(flagOf).join(", ")}` }
      : undefined;
  },
});

/** Exactly one of them must be given; `message` says so. */
export const exactlyOne = <Name extends string>(message: string, ...names: Name[]): Rule<Name> => ({
  names,
  fault: (options) => (names.filter((name) => isGiven(name, options)).length === 1 ? undefined : { message }),
});

/** Names of the options of a schema; "noFence" is the switch --no-fence. */
type NameOf<Shape> = (keyof Shape & string) | `no${Capitalize<keyof Shape & string>}`;

/** A schema of options with rules between them. */
export const withRules = <Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  ...rules: readonly Rule<NameOf<Shape>>[]
): z.ZodObject<Shape> =>
  schema.superRefine((options, context) => {
    for (const { fault } of rules) {
      const found = fault(options);
      if (found)
        context.addIssue({
          code: "custom",
          path: found.option === undefined ? [] : [found.option],
          message: found.message,
        });
    }
  });

/** A switch that is not set, a list without entries and an option without a value are not given. */
function isGiven(name: string, options: Readonly<Record<string, unknown>>): boolean {
  const positive = /^no(?=[A-Z])/.test(name) ? name.charAt(2).toLowerCase() + name.slice(3) : undefined;
  if (positive !== undefined && positive in options) return options[positive] === false;
  const value = options[name];
  return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
}

const flagOf = (name: string) =>
  name === "argument" || name === "secondArgument"
    ? `the ${name === "argument" ? "" : "second "}argument`
    : `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Validates the options. Throws `bad-usage` naming each option that is wrong. */
export function parseOptions<Shape extends z.ZodType>(schema: Shape, given: Given): z.infer<Shape> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message, code }) => {
    if (path.length === 0) return message;
    const name = path[0] === "argument" ? "the bundle" : flagOf(String(path[0]));
    return `${name}: ${code === "invalid_type" && given[String(path[0])] === undefined ? "must be given" : message.toLowerCase()}`;
  });
  throw new MigrationError("bad-usage", faults.join("; "), { hint: "--help shows an example" });
}

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
