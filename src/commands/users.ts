import { resolve } from "node:path";
import { z } from "zod";
import { usersDetails, usersLines } from "../homeserver/people/result.ts";
import { surveyAndNotify } from "../move/users/run.ts";
import type { Command } from "./command.ts";
import { checkNoticeOptions, NOTICE_OPTIONS, noticeOrder, noticeSchema } from "./options/notices.ts";
import {
  ACCEPT,
  acceptSchema,
  CONFIG_OPTIONS,
  configSchema,
  DRY_RUN,
  dryRunSchema,
  givenSource,
  parseOptions,
} from "./options/shared.ts";

const schema = z
  .object({
    config: z.array(z.string()).default([]),
    ...configSchema,
    all: z.boolean().default(false),
    coverageDays: z.coerce.number().int().min(0).max(3650).default(90),
    csv: z.string().min(1).optional(),
    ...noticeSchema,
    ...acceptSchema,
    ...dryRunSchema,
  })
  .superRefine(checkNoticeOptions);

export const usersCommand: Command<z.infer<typeof schema>> = {
  name: "users",
  summary: "List users who would lose encrypted messages at a sign-out and, with --notify, notify them.",
  options: [
    ...CONFIG_OPTIONS,
    { flags: "--all", about: "list every account, not only users at risk" },
    {
      flags: "--coverage-days <number>",
      about: "check key backups against the messages of this many days; default: 90; 0 checks nothing",
    },
    { flags: "--csv <file>", about: "write every account to a CSV file" },
    ...NOTICE_OPTIONS,
    ACCEPT,
    DRY_RUN,
  ],
  example:
    "synlift users --config /etc/matrix-synapse/homeserver.yaml --announce /root/move --when '2026-12-01 02:00 UTC' --outage 'about an hour'",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(system.machine.folder, path);
    const order = {
      given: givenSource(options, system),
      everybody: options.all,
      coverageDays: options.coverageDays,
      csv: here(options.csv),
      announce: here(options.announce),
      when: options.when,
      outage: options.outage,
      textFile: here(options.text),
      notices: await noticeOrder(options, system),
      accepted: options.accept,
      dryRun: options.dryRun,
    };
    const result = await surveyAndNotify(order, system, view);
    return {
      findings: result.findings,
      details: usersDetails(result),
      lines: usersLines(result, system.terminal),
      failure: result.failure,
    };
  },
};
