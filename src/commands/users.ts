import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { ANNOUNCEMENT_OPTIONS, NOTICE_OPTIONS, NOTICE_RULES } from "./options/notices.ts";
import { ACCEPT, CONFIG_OPTIONS, DRY_RUN, parseOptions, withRules, TRACE } from "./options/shared.ts";

const schema = withRules(
  z.object({
    ...CONFIG_OPTIONS.schema,
    all: z.boolean().default(false),
    coverageDays: z.coerce.number().int().min(0).max(3650).default(90),
    csv: z.string().min(1).optional(),
    ...NOTICE_OPTIONS.schema,
    ...ACCEPT.schema,
    ...DRY_RUN.schema,
  }),
  ...NOTICE_RULES,
);

export const usersCommand: Command<z.infer<typeof schema>> = {
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
        TRACE,
      ],
    },
    ANNOUNCEMENT_OPTIONS,
    NOTICE_OPTIONS,
    CONFIG_OPTIONS,
  ],
  example:
    "synlift users --config /etc/matrix-synapse/homeserver.yaml --announce /root/move --when '2026-12-01 02:00 UTC' --outage 'about an hour'",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ usersDetails, usersLines }, { surveyAndNotify }] = await Promise.all([
      import("../homeserver/people/result.ts"),
      import("../move/users/run.ts"),
    ]);
    const here = (path: string | undefined) =>
      path === undefined ? undefined : resolve(system.machine.folder, path);
    const order = {
      given: CONFIG_OPTIONS.read(options, system),
      everybody: options.all,
      coverageDays: options.coverageDays,
      csv: here(options.csv),
      announce: here(options.announce),
      when: options.when,
      outage: options.outage,
      textFile: here(options.text),
      notices: await NOTICE_OPTIONS.read(options, system),
      accepted: options.accept,
      dryRun: options.dryRun,
    };
    const result = await surveyAndNotify(order, system, view);
    return {
      findings: result.findings,
      details: usersDetails(result),
      lines: usersLines(result, system.terminal.results),
      failure: result.failure,
    };
  },
};
