import { resolve } from "node:path";
import { z } from "zod";
import { sendHomeserver } from "../move/direct/send.ts";
import { describeExport, exportDetails } from "../move/export/result-text.ts";
import { exportHomeserver } from "../move/export/run.ts";
import type { Command } from "./command.ts";
import { assertNoPacking, mediaChoiceOf, PACKING_OPTIONS, packingSchema } from "./options/packing.ts";
import {
  ACCEPT,
  acceptSchema,
  CONFIG_OPTIONS,
  configSchema,
  DRY_RUN,
  dryRunSchema,
  givenSource,
  givenStop,
  parseOptions,
  PASSPHRASE_OPTIONS,
  passphraseSchema,
  passphraseSource,
  RECIPIENT,
  recipientSchema,
  STOP_OPTIONS,
  stopSchema,
} from "./options/shared.ts";

const schema = z.object({
  config: z.array(z.string()).default([]),
  out: z.string().min(1),
  ...configSchema,
  rehearse: z.boolean().default(false),
  toReceiver: z.boolean().default(false),
  ...stopSchema,
  ...packingSchema,
  ...passphraseSchema,
  ...recipientSchema,
  ...acceptSchema,
  ...dryRunSchema,
});

export const exportCommand: Command<z.infer<typeof schema>> = {
  name: "export",
  summary:
    "Stop this homeserver permanently and pack it into an encrypted bundle. Run it again to continue after an interruption.",
  options: [
    ...CONFIG_OPTIONS,
    { flags: "--out <folder>", about: "folder of the bundle: new, empty, or from an earlier run" },
    {
      flags: "--rehearse",
      about: "rehearse on the running server; the result cannot be opened as the real server",
    },
    {
      flags: "--to-receiver",
      about:
        "for restore --from on the new host, which starts this: send directly to it instead of packing a bundle",
    },
    ...STOP_OPTIONS,
    ...PACKING_OPTIONS,
    ...PASSPHRASE_OPTIONS,
    RECIPIENT,
    ACCEPT,
    DRY_RUN,
  ],
  example:
    "synlift export --config /etc/matrix-synapse/homeserver.yaml --config /etc/matrix-synapse/conf.d --out /srv/move",
  parse(given) {
    const options = parseOptions(schema, given);
    if (options.toReceiver) assertNoPacking(given);
    mediaChoiceOf(options);
    return options;
  },

  async run(options, system, view) {
    const order = {
      given: givenSource(options, system),
      folder: resolve(system.machine.folder, options.out),
      rehearsal: options.rehearse,
      stop: givenStop(options),
      partSize: options.split,
      passphrase: passphraseSource(options),
      recipients: options.recipient,
      accepted: options.accept,
      media: mediaChoiceOf(options),
      dumpFormat: options.dbFormat,
      dryRun: options.dryRun,
    };
    if (options.toReceiver) {
      await sendHomeserver(order, system);
      return { findings: [], details: { folder: order.folder }, lines: [] };
    }
    const result = await exportHomeserver(order, system, view);
    return {
      findings: result.findings,
      details: exportDetails(result),
      lines: describeExport(result),
    };
  },
};
