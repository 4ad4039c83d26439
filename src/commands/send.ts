import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { DRY_RUN, parseOptions, TRACE } from "./options/shared.ts";
import { ADDRESS_FORMS, TRANSFER_OPTIONS } from "./options/transfer.ts";

const schema = z.object({
  argument: z.string().min(1),
  secondArgument: z.string().min(1),
  check: z.boolean().default(false),
  ...DRY_RUN.schema,
  ...TRANSFER_OPTIONS.schema,
});

export const sendCommand: Command<z.infer<typeof schema>> = {
  name: "send",
  summary:
    "Send a bundle to another place, and compare every file there. Run it again to continue after an interruption.",
  argument: { name: "BUNDLE", about: "folder of the bundle" },
  secondArgument: { name: "DEST", about: `where to: ${ADDRESS_FORMS}` },
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--check", about: "compare again also what an earlier run has compared" },
        DRY_RUN,
        TRACE,
      ],
    },
    TRANSFER_OPTIONS,
  ],
  example: "synlift send /srv/move sftp://root@new.example.org/srv/move --bandwidth 20m",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ sendBundle }, { describeSend, sendDetails, sendFindings }, { parseDestination }] =
      await Promise.all([
        import("../move/carry/send.ts"),
        import("../move/carry/result-text.ts"),
        import("../transfer/destination.ts"),
      ]);
    const settings = TRANSFER_OPTIONS.read(options, system);
    const result = await sendBundle(
      {
        folder: resolve(system.machine.folder, options.argument),
        destination: await parseDestination(options.secondArgument, settings, system),
        persistence: settings,
        check: options.check,
        dryRun: options.dryRun,
      },
      system,
      view,
    );
    return { findings: sendFindings(result), details: sendDetails(result), lines: describeSend(result) };
  },
};
