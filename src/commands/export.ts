import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { SOURCE_FIX } from "./options/fixes.ts";
import { MAINTENANCE_AT_STOP } from "./options/maintenance-at-stop.ts";
import { PACKING_OPTIONS } from "./options/packing.ts";
import { SEND_TO } from "./options/send-to.ts";
import {
  ACCEPT,
  CONFIG_OPTIONS,
  DRY_RUN,
  parseOptions,
  PASSPHRASE_OPTIONS,
  RECIPIENT,
  SHOW_PASSPHRASE,
  STOP_OPTIONS,
  TRACE,
} from "./options/shared.ts";
import { TRANSFER_OPTIONS } from "./options/transfer.ts";
import { TRIAL_OPTIONS } from "./options/trial.ts";

const schema = z.object({
  out: z.string().min(1),
  ...SEND_TO.schema,
  ...CONFIG_OPTIONS.schema,
  rehearse: z.boolean().default(false),
  ...STOP_OPTIONS.schema,
  ...MAINTENANCE_AT_STOP.schema,
  ...PACKING_OPTIONS.schema,
  ...TRIAL_OPTIONS.schema,
  ...PASSPHRASE_OPTIONS.schema,
  ...SHOW_PASSPHRASE.schema,
  ...RECIPIENT.schema,
  ...SOURCE_FIX.schema,
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary:
    "Stop this homeserver permanently and pack it into an encrypted bundle. Run it again to continue after an interruption.",
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--out <folder>",
          about: "folder of the bundle: new, empty, or from an earlier run",
          required: true,
        },
        {
          flags: "--rehearse",
          about: "rehearse on the running server; the result cannot be opened as the real server",
        },
        SEND_TO.option,
        DRY_RUN,
        ACCEPT,
        TRACE,
      ],
    },
    CONFIG_OPTIONS,
    { heading: STOP_OPTIONS.heading, options: [...STOP_OPTIONS.options, SOURCE_FIX] },
    MAINTENANCE_AT_STOP,
    { heading: "Encryption", options: [...PASSPHRASE_OPTIONS.options, SHOW_PASSPHRASE, RECIPIENT] },
    PACKING_OPTIONS,
    TRIAL_OPTIONS,
    TRANSFER_OPTIONS,
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse(given) {
    const options = parseOptions(schema, given);
    PACKING_OPTIONS.read(options);
    return options;
  },

  async run(options, system, view) {
    const [{ describeExport, exportDetails }, { exportHomeserver }] = await Promise.all([
      import("../move/export/result-text.ts"),
      import("../move/export/run.ts"),
    ]);
    const result = await exportHomeserver(
      {
        given: CONFIG_OPTIONS.read(options, system),
        folder: resolve(system.machine.folder, options.out),
        rehearsal: options.rehearse,
        stop: {
          ...STOP_OPTIONS.read(options),
          maintenance: MAINTENANCE_AT_STOP.read(options, system),
          dryRun: options.dryRun,
        },
        ...(await SEND_TO.read(options, system)),
        passphrase: { ...PASSPHRASE_OPTIONS.read(options), show: options.showPassphrase },
        recipients: options.recipient,
        accepted: options.accept,
        fixes: options.fix,
        media: PACKING_OPTIONS.read(options),
        dumpFormat: options.dbFormat,
        tryOn: await TRIAL_OPTIONS.read(options, system),
        dryRun: options.dryRun,
      },
      system,
      view,
    );
    return { findings: result.findings, details: exportDetails(result), lines: describeExport(result) };
  },
};
