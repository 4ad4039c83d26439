import { z } from "zod";
import type { Command } from "./command.ts";
import { MAINTENANCE_OPTIONS } from "./options/maintenance.ts";
import { parseOptions, withRules } from "./options/shared.ts";
import { SITE_OPTIONS, SITE_RULES } from "./options/site.ts";

const schema = withRules(z.object({ ...SITE_OPTIONS.schema, ...MAINTENANCE_OPTIONS.schema }), ...SITE_RULES);

export const maintenanceCommand: Command<z.infer<typeof schema>> = {
  name: "maintenance",
  summary: "Write a web server's configuration for the outage: clients keep their sessions, and try again.",
  options: [SITE_OPTIONS, MAINTENANCE_OPTIONS],
  example:
    "synlift maintenance --old https://matrix.example.org --for nginx --out /etc/nginx/sites-enabled/matrix-is-down",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const [{ writeMaintenance }, { siteDetails, siteLines }] = await Promise.all([
      import("../move/old-address/maintenance.ts"),
      import("../move/old-address/site-text.ts"),
    ]);
    const order = { site: SITE_OPTIONS.read(options, system), answer: MAINTENANCE_OPTIONS.read(options) };
    const result = await writeMaintenance(order, system);
    return { findings: result.findings, details: siteDetails(result), lines: siteLines(result) };
  },
};
