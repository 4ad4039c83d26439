import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { INSPECTED_OPTIONS, inspectedSchema, planQuestions } from "./options/inspected.ts";
import { ACCEPT, CONFIG_OPTIONS, parseOptions, sizeText, TRACE } from "./options/shared.ts";

const schema = z.object({
  ...CONFIG_OPTIONS.schema,
  deep: z.boolean().default(false),
  out: z.string().min(1).default("/srv/move"),
  split: z.string().transform(sizeText).optional(),
  ...inspectedSchema,
  html: z.string().min(1).optional(),
  redact: z.boolean().default(false),
  ...ACCEPT.schema,
});

export const planCommand: Command<z.infer<typeof schema>> = {
  name: "plan",
  summary:
    "Check before the move: whether it will work, how long the outage will be, what to do when. Changes nothing.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--deep",
          about: "also read every row and every file, to find duplicates, damage and changed media",
        },
        { flags: "--html <file>", about: "also write the plan as an HTML page" },
        { flags: "--redact", about: "redact names, so that the plan can be shared" },
        ACCEPT,
        TRACE,
      ],
    },
    ...INSPECTED_OPTIONS,
    CONFIG_OPTIONS,
  ],
  example:
    "synlift plan --target https://new.example.org --new-host root@new.example.org --html /root/plan.html",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ planMove }, { planText }] = await Promise.all([
      import("../move/plan/run.ts"),
      import("../move/plan/text.ts"),
    ]);
    const { folder } = system.machine;
    const order = {
      given: CONFIG_OPTIONS.read(options, system),
      questions: await planQuestions(options, system),
      when: options.when,
      newHost: options.newHost,
      split: options.split,
      resolver: options.resolver,
      html: options.html === undefined ? undefined : resolve(folder, options.html),
      redacted: options.redact,
      accepted: options.accept,
    };
    const { page, details, failure } = await planMove(order, system, view);
    return {
      opening: planText(page, system.terminal.results),
      brief: true,
      findings: page.findings,
      details,
      lines: [
        page.verdict.sentence,
        ...(order.html === undefined ? [] : [`the plan as an HTML page: ${order.html}`]),
      ],
      failure,
    };
  },
};
