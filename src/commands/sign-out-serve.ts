import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { ANSWERING_OPTIONS } from "./options/answering.ts";
import { CONFIG_OPTIONS, parseOptions, withRules } from "./options/shared.ts";
import { SIGN_OUT_OPTIONS, SIGN_OUT_RULE } from "./options/sign-out.ts";
import { ANSWERING_RULES } from "./options/site.ts";

const schema = withRules(
  z.object({ ...ANSWERING_OPTIONS.schema, ...SIGN_OUT_OPTIONS.schema, ca: z.string().min(1).optional() }),
  SIGN_OUT_RULE,
  ...ANSWERING_RULES,
);

export const signOutServeCommand: Command<z.infer<typeof schema>> = {
  name: "sign-out serve",
  summary: "Answer at the old address, without a web server, so that every client is signed out.",
  options: [
    SIGN_OUT_OPTIONS,
    ANSWERING_OPTIONS,
    {
      heading: "New homeserver",
      options: [
        {
          flags: "--ca <file>",
          about: "authorities that sign the new server's certificate",
          default: "Node's",
        },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example:
    "synlift sign-out serve --soft --new https://new.example.org --listen 443 --certificate /etc/letsencrypt/live/matrix.example.org/fullchain.pem --key /etc/letsencrypt/live/matrix.example.org/privkey.pem --until 2027-03-01",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ serveSignOut }, { untilOf }, { signOutDetails, signOutLines }] = await Promise.all([
      import("../move/old-address/sign-out.ts"),
      import("../move/old-address/serve.ts"),
      import("../move/old-address/sign-out-text.ts"),
    ]);
    const { machine } = system;
    const plan = SIGN_OUT_OPTIONS.read(options, system);
    const { untouched, until, ...serve } = ANSWERING_OPTIONS.read(options, system);
    const order = {
      plan,
      serve: { ...serve, until: until === undefined ? undefined : untilOf(until, machine.now()) },
      authorities: options.ca === undefined ? undefined : resolve(machine.folder, options.ca),
      untouched,
    };
    const result = await serveSignOut(order, system, view);
    return {
      findings: result.survey.findings,
      details: signOutDetails(plan.kind, result),
      lines: signOutLines(plan.kind, result),
    };
  },
};
