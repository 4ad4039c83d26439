import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { DRY_RUN, parseOptions, TRACE } from "./options/shared.ts";
import { ADDRESS_FORMS, TRANSFER_OPTIONS } from "./options/transfer.ts";

const schema = z.object({
  argument: z.string().min(1),
  out: z.string().min(1),
  ...DRY_RUN.schema,
  ...TRANSFER_OPTIONS.schema,
});

export const fetchCommand: Command<z.infer<typeof schema>> = {
  name: "fetch",
  summary:
    "Fetch a bundle from where it was sent to, and compare every file with its manifest. Run it again to continue.",
  argument: { name: "SOURCE", about: `where the bundle is: ${ADDRESS_FORMS}` },
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--out <folder>",
          about: "folder here: new, empty, or from an earlier run",
          required: true,
        },
        DRY_RUN,
        TRACE,
      ],
    },
    TRANSFER_OPTIONS,
  ],
  example: "synlift fetch rclone:drive:moves/example.org --out /srv/move",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ fetchBundle }, { describeFetch, fetchDetails, fetchFindings }, { parseDestination }] =
      await Promise.all([
        import("../move/carry/fetch.ts"),
        import("../move/carry/result-text.ts"),
        import("../transfer/destination.ts"),
      ]);
    const settings = TRANSFER_OPTIONS.read(options, system);
    const result = await fetchBundle(
      {
        source: await parseDestination(options.argument, settings, system),
        folder: resolve(system.machine.folder, options.out),
        persistence: settings,
        dryRun: options.dryRun,
      },
      system,
      view,
    );
    return { findings: fetchFindings(result), details: fetchDetails(result), lines: describeFetch(result) };
  },
};
