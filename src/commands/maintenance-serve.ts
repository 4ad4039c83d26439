import { z } from "zod";
import type { Command } from "./command.ts";
import { ANSWERING_OPTIONS } from "./options/answering.ts";
import { MAINTENANCE_OPTIONS } from "./options/maintenance.ts";
import { parseOptions, withRules } from "./options/shared.ts";
import { ANSWERING_RULES } from "./options/site.ts";

const schema = withRules(
  z.object({ ...ANSWERING_OPTIONS.schema, ...MAINTENANCE_OPTIONS.schema }),
  ...ANSWERING_RULES,
);

export const maintenanceServeCommand: Command<z.infer<typeof schema>> = {
  name: "maintenance serve",
  summary: "Answer at the old address during the outage, without a web server: clients keep their sessions.",
  options: [ANSWERING_OPTIONS, MAINTENANCE_OPTIONS],
  example: "synlift maintenance serve --listen 127.0.0.1:8008 --retry-after 120",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ maintenanceBehaviour }, { serveBehaviour, untilOf }, { serveDetails, serveLines }] =
      await Promise.all([
        import("../old-address/maintenance.ts"),
        import("../move/old-address/serve.ts"),
        import("../move/old-address/serve-text.ts"),
      ]);
    const { untouched, until, ...serve } = ANSWERING_OPTIONS.read(options, system);
    const behaviour = maintenanceBehaviour({ ...MAINTENANCE_OPTIONS.read(options), untouched });
    const result = await serveBehaviour(
      {
        ...serve,
        behaviour,
        until: until === undefined ? undefined : untilOf(until, system.machine.now()),
      },
      system,
      view,
    );
    return { findings: [], details: serveDetails(result), lines: serveLines(result) };
  },
};
