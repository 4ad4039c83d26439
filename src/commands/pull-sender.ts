import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { MAINTENANCE_AT_STOP } from "./options/maintenance-at-stop.ts";
import { ACCEPT, CONFIG_OPTIONS, parseOptions, requires, STOP_OPTIONS, withRules } from "./options/shared.ts";
import { TRIAL_OPTIONS } from "./options/trial.ts";

const schema = withRules(
  z.object({
    out: z.string().min(1),
    ...CONFIG_OPTIONS.schema,
    ...STOP_OPTIONS.schema,
    ...TRIAL_OPTIONS.schema,
    ...MAINTENANCE_AT_STOP.schema,
    ...ACCEPT.schema,
  }),
  requires("startCommand", "stopCommand"),
);

export const pullSenderCommand: Command<z.infer<typeof schema>> = {
  name: "pull-sender",
  summary: "Send this homeserver to `synlift pull` on the new host, which starts this command.",
  hidden: true,
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--out <folder>",
          about:
            "folder for the state of the transfer, which rollback needs: new, empty, or from an earlier run",
          required: true,
        },
        ACCEPT,
      ],
    },
    CONFIG_OPTIONS,
    STOP_OPTIONS,
    TRIAL_OPTIONS,
    MAINTENANCE_AT_STOP,
  ],
  example: "synlift pull-sender --out synlift-move",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const { sendHomeserver } = await import("../move/direct/send.ts");
    const folder = resolve(system.machine.folder, options.out);
    await sendHomeserver(
      {
        given: CONFIG_OPTIONS.read(options, system),
        folder,
        // `pull` asks for consent, and says whether this is a dry run.
        stop: {
          ...STOP_OPTIONS.read(options),
          maintenance: MAINTENANCE_AT_STOP.read(options, system),
          dryRun: false,
        },
        accepted: options.accept,
        tryOn: await TRIAL_OPTIONS.read(options, system),
      },
      system,
    );
    return { findings: [], details: { folder }, lines: [] };
  },
};
