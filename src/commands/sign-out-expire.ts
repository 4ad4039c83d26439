import { z } from "zod";
import type { Command } from "./command.ts";
import { CONFIG_OPTIONS, conflicts, DRY_RUN, exactlyOne, parseOptions, withRules } from "./options/shared.ts";

const ACTIONS = ["soft", "hard", "undo", "forget"] as const;

const schema = withRules(
  z.object({
    soft: z.boolean().default(false),
    hard: z.boolean().default(false),
    undo: z.boolean().default(false),
    forget: z.boolean().default(false),
    keep: z
      .array(z.string().regex(/^@[^:\s]+:\S+$/, "write the whole user id: @monitor:example.org"))
      .default([]),
    yes: z.boolean().default(false),
    survey: z.boolean().default(true),
    coverageDays: z.coerce.number().int().min(0).max(3650).default(90),
    ...DRY_RUN.schema,
    ...CONFIG_OPTIONS.schema,
  }),
  exactlyOne(
    "give --soft, which keeps the keys of clients that know it, --hard, --undo or --forget",
    ...ACTIONS,
  ),
  conflicts("undo", "keep"),
  conflicts("forget", "keep"),
);

export const signOutExpireCommand: Command<z.infer<typeof schema>> = {
  name: "sign-out expire",
  summary:
    "End everybody's sessions inside the database of a stopped Synapse: for a move where the address stays the same.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--soft", about: "tokens expire: clients that know it keep their keys and devices" },
        { flags: "--hard", about: "tokens become unknown: clients discard messages and keys" },
        { flags: "--undo", about: "make the tokens valid again, for clients that were not told yet" },
        { flags: "--forget", about: "make it final: remove what --undo needs from the database" },
        {
          flags: "--keep <user>",
          about: "leave the sessions of this account alone, such as a bot's",
          many: true,
        },
        DRY_RUN,
        { flags: "--yes", about: "do not ask, although somebody would lose messages" },
        { flags: "--no-survey", about: "do not count who would lose encrypted messages" },
        {
          flags: "--coverage-days <number>",
          about: "check key backups against the messages of this many days; 0 checks nothing",
          default: "90",
        },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example: "synlift sign-out expire --soft --config /etc/matrix-synapse/homeserver.yaml --dry-run",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ expireSessions }, { expireDetails, expireLines }] = await Promise.all([
      import("../move/old-address/expire.ts"),
      import("../move/old-address/expire-text.ts"),
    ]);
    const result = await expireSessions(
      {
        action: ACTIONS.find((action) => options[action])!,
        given: CONFIG_OPTIONS.read(options, system),
        keep: options.keep,
        coverageDays: options.survey ? options.coverageDays : undefined,
        yes: options.yes,
        dryRun: options.dryRun,
      },
      system,
      view,
    );
    return { findings: result.findings, details: expireDetails(result), lines: expireLines(result) };
  },
};
