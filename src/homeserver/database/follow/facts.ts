import { z } from "zod";

/** An address at which the old PostgreSQL is reached from the old host, through which the new host's tunnel goes. */
const placeSchema = z.object({
  /** A name or an address, or the folder of a socket, which begins with "/". */
  host: z.string(),
  port: z.number(),
});
export type Place = z.infer<typeof placeSchema>;

/** One line of pg_hba.conf, as the view pg_hba_file_rules has it. */
const hbaRuleSchema = z.object({
  line: z.number(),
  type: z.string(),
  databases: z.array(z.string()),
  users: z.array(z.string()),
  address: z.string().nullable(),
  netmask: z.string().nullable(),
  method: z.string(),
});
export type HbaRule = z.infer<typeof hbaRuleSchema>;

/** Whether pg_hba.conf lets the role in with a password, at one place. */
const accessSchema = z.object({
  place: placeSchema,
  /** The address that PostgreSQL sees; null for its socket. */
  client: z.string().nullable(),
  /** The line that decides, each; null where none matches. */
  replication: hbaRuleSchema.nullable(),
  databases: hbaRuleSchema.nullable(),
});
export type Access = z.infer<typeof accessSchema>;

const slotSchema = z.object({
  name: z.string(),
  active: z.boolean(),
  /** Bytes of the log that it holds back; null while it holds none. */
  retained: z.number().nullable(),
});

/** What decides on the old host whether, and how, a copy of its database can follow. Contains no secret. */
export const sourceFactsSchema = z.object({
  /** server_version_num. */
  version: z.number(),
  versionText: z.string(),
  /** As `uname -m` prints it; null where PostgreSQL runs on another machine than synlift, or it is not known. */
  architecture: z.string().nullable(),
  systemIdentifier: z.string(),
  recovering: z.boolean(),
  administrator: z.object({ name: z.string(), isSuperuser: z.boolean() }),
  /** Of PostgreSQL, as `pg_settings` has them, in its units. Missing ones do not exist in this version. */
  settings: z.record(z.string(), z.object({ value: z.string(), source: z.string() })),
  /** The settings of postgresql.auto.conf that follow may change. */
  autoConf: z.record(z.string(), z.string()),
  /** What a start of PostgreSQL would do; undefined where only a superuser could tell. */
  nextStart: z
    .object({
      /** wal_level as its configuration files have it by then. */
      walLevel: z.string(),
      /** The settings that take effect with it, for which PostgreSQL runs with another value now. */
      pending: z.array(z.string()),
      /** What of its configuration PostgreSQL cannot read, "file:line": it would not start. */
      unreadable: z.array(z.string()),
      /** The systemd unit that runs it; null where none was found on this host. */
      unit: z.string().nullable(),
    })
    .optional(),
  slots: z.array(slotSchema),
  walSenders: z.number(),
  /** The disk with PostgreSQL's log: bytes free and its folder; null where it cannot be seen from here. */
  disk: z.object({ free: z.number(), folder: z.string() }).nullable(),
  databases: z.array(
    z.object({
      name: z.string(),
      bytes: z.number(),
      collate: z.string(),
      ctype: z.string(),
      /** "c" libc, "i" ICU, "b" built in. */
      provider: z.string(),
      collationVersion: z.string().nullable(),
    }),
  ),
  /** Those beside pg_default and pg_global. */
  tablespaces: z.array(z.object({ name: z.string(), folder: z.string() })),
  /** What this homeserver has in this PostgreSQL. */
  database: z.string(),
  stateDatabase: z.string().nullable(),
  masDatabase: z.string().nullable(),
  /** Databases of the homeserver that are in another PostgreSQL, in words. */
  elsewhere: z.array(z.string()).default([]),
  /** Of the homeserver's database. */
  schemaVersion: z.number().nullable(),
  backgroundUpdates: z.number(),
  hbaFile: z.string(),
  access: z.array(accessSchema),
  /** The comment of the role synlift_follow; null where there is no such role. */
  role: z.object({ comment: z.string().nullable() }).nullable(),
});
export type SourceFacts = z.infer<typeof sourceFactsSchema>;

/** What the new host has. */
export const targetFactsSchema = z.object({
  /** As `uname -m` prints it. */
  architecture: z.string(),
  /** The major versions of which PostgreSQL's server programs are installed. */
  serverMajors: z.array(z.number()),
  /** server_version_num of the server for logical replication, and whether its administrator is a superuser; null where none is named. */
  server: z.object({ version: z.number(), isSuperuser: z.boolean() }).nullable(),
});
export type TargetFacts = z.infer<typeof targetFactsSchema>;
