import { z } from "zod";
import type { Command } from "./command.ts";
import { CONFIG_OPTIONS, parseOptions, withRules } from "./options/shared.ts";
import { SIGN_OUT_OPTIONS, SIGN_OUT_RULE } from "./options/sign-out.ts";
import { SITE_OPTIONS, SITE_RULES, TWO_ADDRESSES } from "./options/site.ts";

const schema = withRules(
  z.object({ ...SITE_OPTIONS.schema, ...SIGN_OUT_OPTIONS.schema }),
  SIGN_OUT_RULE,
  ...SITE_RULES,
  TWO_ADDRESSES,
);

export const signOutConfigCommand: Command<z.infer<typeof schema>> = {
  name: "sign-out config",
  summary: "Write a web server's configuration that signs every client out of the old address.",
  options: [SIGN_OUT_OPTIONS, SITE_OPTIONS, CONFIG_OPTIONS],
  example:
    "synlift sign-out config --soft --old https://matrix.example.org --new https://new.example.org --for nginx --out /etc/nginx/sites-enabled/old-matrix",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ writeSignOut }, { signOutDetails, signOutLines }] = await Promise.all([
      import("../move/old-address/sign-out.ts"),
      import("../move/old-address/sign-out-text.ts"),
    ]);
    const plan = SIGN_OUT_OPTIONS.read(options, system);
    const order = { site: SITE_OPTIONS.read(options, system), plan };
    const result = await writeSignOut(order, system, view);
    return {
      findings: [...result.survey.findings, ...result.site.findings],
      details: signOutDetails(plan.kind, result),
      lines: signOutLines(plan.kind, result),
    };
  },
};
