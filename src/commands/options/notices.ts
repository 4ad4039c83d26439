import { resolve } from "node:path";
import { z } from "zod";
import { recordPathIn } from "../../homeserver/people/notices/deliver.ts";
import { readToken, readUrl } from "../../homeserver/people/notices/inputs.ts";
import type { NotifyOrder } from "../../move/users/run.ts";
import type { System } from "../../system/system.ts";
import { type OptionGroup, optionGroup } from "../command.ts";
import { requires } from "./shared.ts";

const oneLine = z.string().regex(/^[^\r\n]+$/, "write one line");

/** What users are told about the move. */
export const ANNOUNCEMENT_OPTIONS: OptionGroup = {
  heading: "Announcements",
  options: [
    {
      flags: "--announce <folder>",
      about: "write two announcements there: for all users, and for those at risk",
    },
    {
      flags: "--when <text>",
      about: "when the move starts, as text for the announcement: '2026-12-01 02:00 UTC'",
    },
    { flags: "--outage <text>", about: "how long it takes, as text for the announcement: 'about an hour'" },
  ],
};

/** Notices per second: creating a room for each is load on a server in use. */
const RATE = 2;

/**
 * How the announcement is sent to users at risk. `read` is undefined without --notify, and throws what `readToken`
 * throws.
 */
export const NOTICE_OPTIONS = optionGroup({
  heading: "Server notices",
  options: [
    {
      flags: "--notify",
      about:
        "send the announcement for users at risk to them, as server notices of the running Synapse; requires --token-file",
    },
    { flags: "--token-file <file>", about: "file that contains only an administrator's access token" },
    { flags: "--text <file>", about: "send the text in this file instead" },
    { flags: "--url <url>", about: "base address of Synapse", default: "its first unencrypted listener" },
    { flags: "--rate <number>", about: "maximum notices per second", default: `${RATE}` },
    {
      flags: "--record <file>",
      about: "file that records who received which notice",
      default: "in the folder of --announce",
    },
  ],
  schema: {
    announce: z.string().min(1).optional(),
    when: oneLine.optional(),
    outage: oneLine.optional(),
    notify: z.boolean().default(false),
    text: z.string().min(1).optional(),
    url: z.string().transform(readUrl).optional(),
    tokenFile: z.string().min(1).optional(),
    rate: z.coerce.number().positive().max(100).optional(),
    record: z.string().min(1).optional(),
  },
  async read(
    { notify, tokenFile, url, rate = RATE, record, announce },
    { files, machine }: Pick<System, "files" | "machine">,
  ): Promise<NotifyOrder | undefined> {
    if (!notify) return undefined;
    const here = (path: string) => resolve(machine.folder, path);
    return {
      token: await readToken(here(tokenFile!), files),
      url,
      rate,
      recordPath: record === undefined ? recordPathIn(here(announce!)) : here(record),
    };
  },
});

/** Rules between these options, for `withRules`. */
export const NOTICE_RULES = [
  requires("when", "announce", "notify"),
  requires("outage", "announce", "notify"),
  requires("text", "notify"),
  requires("url", "notify"),
  requires("tokenFile", "notify"),
  requires("rate", "notify"),
  requires("record", "notify"),
  requires("notify", "tokenFile"),
  requires("notify", "record", "announce"),
] as const;
