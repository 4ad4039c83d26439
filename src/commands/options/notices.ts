import { resolve } from "node:path";
import { z } from "zod";
import { recordPathIn } from "../../homeserver/people/notices/deliver.ts";
import { readToken, readUrl } from "../../homeserver/people/notices/inputs.ts";
import type { NotifyOrder } from "../../move/users/run.ts";
import type { System } from "../../system/system.ts";
import type { Option } from "../command.ts";

/** What users are told about the move, and how it is sent to those at risk. */
export const NOTICE_OPTIONS: readonly Option[] = [
  {
    flags: "--announce <folder>",
    about: "write two announcements there: for all users, and for those at risk",
  },
  {
    flags: "--when <text>",
    about: "when the move starts, as text for the announcement: '2026-12-01 02:00 UTC'",
  },
  { flags: "--outage <text>", about: "how long it takes, as text for the announcement: 'about an hour'" },
  {
    flags: "--notify",
    about: "send the announcement for users at risk to them, as server notices of the running Synapse",
  },
  { flags: "--text <file>", about: "with --notify: send the text in this file instead" },
  { flags: "--token-file <file>", about: "file that contains only an administrator's access token" },
  { flags: "--url <url>", about: "base address of Synapse; default: its first unencrypted listener" },
  { flags: "--rate <number>", about: "maximum notices per second; default: 2" },
  {
    flags: "--record <file>",
    about: "file that records who received which notice; default: in the folder of --announce",
  },
];

/** Options that require another one. */
const REQUIRES = {
  when: ["announce", "notify"],
  outage: ["announce", "notify"],
  text: ["notify"],
  url: ["notify"],
  tokenFile: ["notify"],
  rate: ["notify"],
  record: ["notify"],
} as const;

const oneLine = z.string().regex(/^[^\r\n]+$/, "write one line");

export const noticeSchema = {
  announce: z.string().min(1).optional(),
  when: oneLine.optional(),
  outage: oneLine.optional(),
  notify: z.boolean().default(false),
  text: z.string().min(1).optional(),
  url: z.string().transform(readUrl).optional(),
  tokenFile: z.string().min(1).optional(),
  rate: z.coerce.number().positive().max(100).optional(),
  record: z.string().min(1).optional(),
};

type NoticeOptions = z.infer<z.ZodObject<typeof noticeSchema>>;

/** For `superRefine`: which of these options require another one. */
export function checkNoticeOptions(options: NoticeOptions, context: z.RefinementCtx): void {
  const wrong = (name: string, message: string) => {
    context.addIssue({ code: "custom", path: [name], message });
  };
  for (const [name, others] of Object.entries(REQUIRES)) {
    const given = options[name as keyof typeof REQUIRES] !== undefined;
    if (given && !others.some((other) => options[other]))
      wrong(name, `requires ${others.map((other) => `--${other}`).join(" or ")}`);
  }
  if (!options.notify) return;
  if (options.tokenFile === undefined) wrong("tokenFile", "must be given with --notify");
  if (options.record === undefined && options.announce === undefined)
    wrong("record", "must be given with --notify, unless --announce names a folder for it");
}

/** Notices per second: creating a room for each is load on a server in use. */
const RATE = 2;

/** How notices are sent; undefined without --notify. Throws what `readToken` throws. */
export async function noticeOrder(
  { notify, tokenFile, url, rate = RATE, record, announce }: NoticeOptions,
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
}
