import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import { readToken } from "../../homeserver/people/notices/inputs.ts";
import { DEFAULT_LINK } from "../../move/outage/rehearsed.ts";
import { parseDate } from "../../move/plan/dates.ts";
import type { PlanQuestions } from "../../move/plan/questions.ts";
import { parseDnsServer } from "../../system/dns/dns.ts";
import type { System } from "../../system/system.ts";
import type { OptionGroup } from "../command.ts";
import { parseDatabaseAddress } from "./database.ts";
import { sizeOf } from "./shared.ts";
import { TRIAL_OPTIONS } from "./trial.ts";

/** When and how the move will be made, and what `plan` inspects besides the homeserver itself. */
export const INSPECTED_OPTIONS: readonly OptionGroup[] = [
  {
    heading: "The move",
    options: [
      {
        flags: "--when <date>",
        about: "when the move will start: '2026-12-01 02:00 UTC'",
        default: "as early as is safe",
      },
      { flags: "--link <mbit>", about: "megabits per second between the two hosts", default: "100" },
      { flags: "--out <folder>", about: "folder of the bundle", default: "/srv/move" },
      { flags: "--split <size>", about: "size of the parts of the bundle, such as 100m" },
      {
        flags: "--new-host <login>",
        about: "the new host as ssh takes it, for the commands",
        default: "root@new.example.org",
      },
    ],
  },
  {
    heading: "New server",
    options: [
      { flags: "--target <url>", about: "base address of the new server, if Synapse already runs there" },
      {
        flags: "--target-database <address>",
        about:
          "database on the new host, if this host can connect to it: 'host=… user=… dbname=…'; with --deep the schema is tried there",
      },
      { flags: "--target-database-password-file <file>", about: "file that contains only its password" },
      {
        flags: "--target-upload-limit <size>",
        about: "the largest upload that the new server accepts, such as 50m",
      },
    ],
  },
  TRIAL_OPTIONS,
  {
    heading: "Old server",
    options: [
      { flags: "--url <url>", about: "base address of the old server", default: "its listeners" },
      { flags: "--media-repo <url>", about: "base address of the matrix-media-repo that stores the media" },
      {
        flags: "--media-repo-token-file <file>",
        about: "file that contains only an access token of one of its admins",
      },
      {
        flags: "--resolver <address>",
        about: "DNS server to query; its port is also used for the zones' own servers",
        default: "this host's",
      },
    ],
  },
];

const baseAddress = (example: string) =>
  z.url({ protocol: /^https?$/, error: `write a base address: ${example}` }).optional();

export const inspectedSchema = {
  newHost: z.string().min(1).default("root@new.example.org"),
  link: z.coerce.number().positive().max(1_000_000).optional(),
  when: z.string().transform(parseDate).optional(),
  target: baseAddress("https://new.example.org"),
  targetDatabase: z.string().min(1).optional(),
  targetDatabasePasswordFile: z.string().min(1).optional(),
  targetUploadLimit: z
    .string()
    .transform((text) => sizeOf(text, "--target-upload-limit"))
    .optional(),
  ...TRIAL_OPTIONS.schema,
  url: baseAddress("http://127.0.0.1:8008"),
  mediaRepo: baseAddress("http://127.0.0.1:8000"),
  mediaRepoTokenFile: z.string().min(1).optional(),
  resolver: z.string().transform(parseDnsServer).optional(),
};

type Inspected = z.infer<z.ZodObject<typeof inspectedSchema>>;

/** Reads the password and the token that the options name. Throws `bad-usage`, `file-missing`. */
export async function planQuestions(
  options: Inspected & { readonly deep: boolean; readonly out: string },
  system: System,
): Promise<PlanQuestions> {
  const { machine, files } = system;
  const { targetDatabase, targetDatabasePasswordFile, mediaRepo, mediaRepoTokenFile } = options;
  if ((mediaRepo === undefined) !== (mediaRepoTokenFile === undefined))
    throw new MigrationError("bad-usage", "--media-repo and --media-repo-token-file require each other", {
      hint: "only its admins can read its usage: give both",
    });
  const token =
    mediaRepoTokenFile === undefined
      ? ""
      : await readToken(resolve(machine.folder, mediaRepoTokenFile), files);
  const target =
    targetDatabase === undefined
      ? undefined
      : await parseDatabaseAddress(targetDatabase, targetDatabasePasswordFile, system, "--target-database");
  return {
    deep: options.deep,
    target: options.target,
    targetDatabase: target,
    tryOn: (await TRIAL_OPTIONS.read(options, system)) ?? (options.deep ? target : undefined),
    url: options.url,
    uploadLimit: options.targetUploadLimit,
    mediaRepo: mediaRepo === undefined ? undefined : { url: mediaRepo, token },
    out: resolve(machine.folder, options.out),
    link: options.link === undefined ? DEFAULT_LINK : (options.link * 1e6) / 8,
    linkNamed: options.link !== undefined,
  };
}
