import { resolve } from "node:path";
import { z } from "zod";
import { MigrationError } from "../errors.ts";
import { peopleFindings } from "../homeserver/people/findings.ts";
import { announce } from "../homeserver/people/notices/announce.ts";
import { campaignOf } from "../homeserver/people/notices/campaign.ts";
import {
  countUnsent,
  deliverNotices,
  deliveryFinding,
  type NoticeDelivery,
  prepareNotices,
  recordPathIn,
} from "../homeserver/people/notices/deliver.ts";
import { readText, readToken, readUrl } from "../homeserver/people/notices/inputs.ts";
import { textForThoseAtRisk } from "../homeserver/people/notices/texts.ts";
import { usersDetails, usersLines } from "../homeserver/people/result.ts";
import { surveyPeople } from "../homeserver/people/survey.ts";
import { readHomeserver } from "../homeserver/read.ts";
import { chooseSource } from "../homeserver/service/find/choose.ts";
import { findLaunches } from "../homeserver/service/find/find.ts";
import { assertParentFolder } from "../move/disk-space.ts";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import type { Finding } from "../report/finding.ts";
import type { System } from "../system/system.ts";
import type { Command } from "./command.ts";
import { ACCEPT, CONFIG_OPTIONS, DRY_RUN, parseOptions, requires, withRules } from "./options/shared.ts";

const oneLine = z.string().regex(/^[^\r\n]+$/, "write one line");

const schema = withRules(
  z.object({
    ...CONFIG_OPTIONS.schema,
    all: z.boolean().default(false),
    coverageDays: z.coerce.number().int().min(0).max(3650).default(90),
    csv: z.string().min(1).optional(),
    announce: z.string().min(1).optional(),
    when: oneLine.optional(),
    outage: oneLine.optional(),
    notify: z.boolean().default(false),
    text: z.string().min(1).optional(),
    url: z.string().transform(readUrl).optional(),
    tokenFile: z.string().min(1).optional(),
    rate: z.coerce.number().positive().max(100).optional(),
    record: z.string().min(1).optional(),
    ...ACCEPT.schema,
    ...DRY_RUN.schema,
  }),
  requires("when", "announce", "notify"),
  requires("outage", "announce", "notify"),
  requires("text", "notify"),
  requires("url", "notify"),
  requires("tokenFile", "notify"),
  requires("rate", "notify"),
  requires("record", "notify"),
  requires("notify", "tokenFile"),
  requires("notify", "record", "announce"),
);

type UsersOptions = z.infer<typeof schema>;

export const usersCommand: Command<UsersOptions> = {
  name: "users",
  summary: "List users who would lose encrypted messages at a sign-out and, with --notify, notify them.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--all", about: "list every account, not only users at risk" },
        {
          flags: "--coverage-days <number>",
          about: "check key backups against the messages of this many days; 0 checks nothing",
          default: "90",
        },
        { flags: "--csv <file>", about: "write every account to a CSV file" },
        DRY_RUN,
        ACCEPT,
      ],
    },
    {
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
        {
          flags: "--outage <text>",
          about: "how long it takes, as text for the announcement: 'about an hour'",
        },
      ],
    },
    {
      heading: "Server notices",
      options: [
        {
          flags: "--notify",
          about:
            "send the announcement for users at risk to them, as server notices of the running Synapse; requires --token-file",
        },
        { flags: "--token-file <file>", about: "file that contains only an administrator's access token" },
        { flags: "--text <file>", about: "send the text in this file instead" },
        {
          flags: "--url <url>",
          about: "base address of Synapse",
          default: "its first unencrypted listener",
        },
        { flags: "--rate <number>", about: "maximum notices per second", default: "2" },
        {
          flags: "--record <file>",
          about: "file that records who received which notice",
          default: "in the folder of --announce",
        },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example:
    "synlift users --config /etc/matrix-synapse/homeserver.yaml --announce /root/move --when '2026-12-01 02:00 UTC' --outage 'about an hour'",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const { machine, files } = system;
    const at = (path: string) => resolve(machine.folder, path);
    const csv = options.csv === undefined || options.dryRun ? undefined : at(options.csv);
    if (csv !== undefined) await assertParentFolder(csv, "--csv", files);
    const chosen = await chooseSource(
      await findLaunches(system),
      CONFIG_OPTIONS.read(options, system),
      files,
    );
    const homeserver = await readHomeserver({ ...chosen.source, signal: system.signal }, files);
    const { serverName, settings } = homeserver;
    // Errors that prevent sending are found before the long survey of the database.
    const mailing = options.notify
      ? await prepareNotices(await noticeOptions(options, system), homeserver, system)
      : undefined;
    const occasion = { serverName, when: options.when, outage: options.outage };
    const announced =
      options.announce === undefined
        ? undefined
        : await announce(at(options.announce), occasion, options.dryRun, files);
    const text = options.text === undefined ? undefined : await readText(at(options.text), files);
    const campaign = campaignOf(text ?? announced?.atRisk ?? textForThoseAtRisk(occasion));

    const { tally, roll, alreadySent } = await surveyPeople(
      homeserver,
      {
        coverageDays: options.coverageDays,
        everybody: options.all,
        csv,
        notice: mailing && { campaign, from: mailing.from },
      },
      system,
      view,
    );
    const delivery =
      mailing &&
      (await deliverNotices(
        mailing,
        { campaign, people: roll.atRisk, alreadySent, dryRun: options.dryRun },
        system,
        view,
      ));
    const findings = acceptWarnings(
      [
        ...chosen.findings,
        ...peopleFindings(tally, serverName, settings),
        ...(delivery ? [deliveryFinding(delivery)] : []),
      ],
      options.accept,
    );
    const left = delivery ? countUnsent(delivery) : 0;
    const result = { serverName, tally, roll, everybody: options.all, csv, announced, delivery };
    return {
      findings,
      details: usersDetails(result),
      lines: usersLines(result, system.terminal),
      failure:
        left > 0 ? unsent(left) : failureForFindings(told(delivery) ? withoutWarnings(findings) : findings),
    };
  },
};

async function noticeOptions({ tokenFile, url, rate, record, announce }: UsersOptions, system: System) {
  const at = (path: string) => resolve(system.machine.folder, path);
  return {
    token: await readToken(at(tokenFile!), system.files),
    url,
    rate: rate ?? RATE,
    recordPath: record === undefined ? recordPathIn(at(announce!)) : at(record),
  };
}

/** The users at risk were notified, which was the purpose of this run, so its warnings are not a failure. */
const told = (delivery: NoticeDelivery | undefined) => delivery !== undefined && !delivery.dryRun;
const withoutWarnings = (findings: readonly Finding[]) => findings.filter(({ level }) => level !== "warning");

/** Notices per second: creating a room for each is load on a server in use. */
const RATE = 2;

const unsent = (left: number) =>
  new MigrationError("notices-not-sent", `${left} of the notices could not be sent`, {
    hint: "fix the cause and run the same command again: nobody receives a second copy",
  });
