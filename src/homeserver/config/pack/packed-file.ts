import { z } from "zod";
import { MigrationError } from "../../../errors.ts";

/** One file of the configuration, as it goes into the archive. */
export interface PackedFile {
  /** Its name inside the archive, with slashes. */
  readonly name: string;
  /** The nine permission bits. */
  readonly mode: number;
  readonly mtimeMs: number;
  readonly content: Uint8Array;
}

/** The archive's own index: the original path of each entry. */
export const PATHS_NAME = "synlift-paths.json";

export const ROLES = [
  "config",
  "signing-key",
  "secret",
  "appservice",
  "tls",
  "log-config",
  "templates",
  "other",
] as const;

const FileRecord = z.object({
  name: z.string(),
  /** Where it was on the old host. */
  path: z.string(),
  /** The setting that names it, or that names the folder it was in; "-c" for a configuration file. */
  setting: z.string(),
  role: z.enum(ROLES),
  mode: z.number().int(),
});

const Missing = z.object({ setting: z.string(), path: z.string() });

const PackedPaths = z.object({
  format: z.literal(1),
  /** What Synapse was given with `-c`, in order: names of files, and of folders with a slash at the end. */
  order: z.array(z.string()),
  /** The configuration files in the order in which Synapse merges them. */
  configFiles: z.array(z.string()).min(1),
  files: z.array(FileRecord),
  missing: z.array(Missing),
});

const ConfigSection = z.object({
  serverName: z.string(),
  files: z.array(FileRecord),
  order: z.array(z.string()),
  /** HMAC-SHA256 of each secret: equal on both hosts, useless without the salt. */
  secrets: z.array(z.object({ setting: z.string(), fingerprint: z.string() })),
  missing: z.array(Missing),
});

/** A file named by two settings has two of these. */
export type FileRecord = z.infer<typeof FileRecord>;
export type PackedPaths = z.infer<typeof PackedPaths>;
/** What the inventory says about the configuration. */
export type ConfigSection = z.infer<typeof ConfigSection>;

/** Throws `bundle-damaged`. */
export function parsePackedPaths(content: Uint8Array | undefined): PackedPaths {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(content));
  } catch {
    value = undefined;
  }
  const parsed = PackedPaths.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MigrationError("bundle-damaged", `the configuration in the bundle has no readable ${PATHS_NAME}`);
}

/** Throws `bundle-damaged`. */
export function parseConfigSection(value: unknown): ConfigSection {
  const parsed = ConfigSection.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new MigrationError("bundle-damaged", "the inventory's section on the configuration is not readable");
}
