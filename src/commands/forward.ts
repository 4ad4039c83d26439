import { z } from "zod";
import type { Command } from "./command.ts";
import { parseOptions, withRules } from "./options/shared.ts";
import { originSchema, SITE_OPTIONS, SITE_RULES, TWO_ADDRESSES } from "./options/site.ts";

const schema = withRules(
  z.object({ ...SITE_OPTIONS.schema, new: originSchema }),
  ...SITE_RULES,
  TWO_ADDRESSES,
);

export const forwardCommand: Command<z.infer<typeof schema>> = {
  name: "forward",
  summary:
    "Write a web server's configuration that forwards the old address to the new homeserver: every session goes on.",
  options: [
    {
      heading: "Common options",
      options: [{ flags: "--new <url>", about: "base address of the new homeserver", required: true }],
    },
    SITE_OPTIONS,
  ],
  example:
    "synlift forward --old https://matrix.example.org --new https://new.example.org --for nginx --out /etc/nginx/sites-enabled/old-matrix",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const { writeForward } = await import("../move/old-address/forward.ts");
    const { siteDetails, siteLines } = await import("../move/old-address/site-text.ts");
    const result = await writeForward({ site: SITE_OPTIONS.read(options, system), to: options.new }, system);
    return { findings: result.findings, details: siteDetails(result), lines: siteLines(result) };
  },
};
