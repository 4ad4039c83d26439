import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { ADMINISTRATOR_OPTIONS } from "./options/administrator.ts";
import { CONFIG_OPTIONS, parseOptions } from "./options/shared.ts";

const schema = z.object({
  out: z.string().min(1),
  ...CONFIG_OPTIONS.schema,
  ...ADMINISTRATOR_OPTIONS.schema,
});

export const followSourceCommand: Command<z.infer<typeof schema>> = {
  name: "follow-source",
  summary:
    "Prepare this homeserver's database for `synlift follow` on the new host, which starts this command.",
  hidden: true,
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--out <folder>",
          about:
            "folder for the record of what is changed, which rollback needs: new, empty, or from an earlier run",
          required: true,
        },
      ],
    },
    CONFIG_OPTIONS,
    ADMINISTRATOR_OPTIONS,
  ],
  example: "synlift follow-source --out synlift-move",
  parse: (given) => parseOptions(schema, given),

  async run(options, system) {
    const { followSource } = await import("../move/follow/source.ts");
    const folder = resolve(system.machine.folder, options.out);
    await followSource(
      {
        given: CONFIG_OPTIONS.read(options, system),
        folder,
        administrator: await ADMINISTRATOR_OPTIONS.read(options, system),
      },
      system,
    );
    return { findings: [], details: { folder }, lines: [] };
  },
};
