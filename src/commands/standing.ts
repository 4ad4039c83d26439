import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { parseOptions } from "./options/shared.ts";

const schema = z.object({
  out: z.string().min(1).default("/srv/move"),
  configDir: z.string().min(1).default("/etc/matrix-synapse"),
});

/** What `synlift` alone runs at a terminal. */
export const standingCommand: Command<z.infer<typeof schema>> = {
  name: "standing",
  summary: "Say where this host stands in a move, and what to type next. Changes nothing.",
  hidden: true,
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--out <folder>", about: "folder of the bundle", default: "/srv/move" },
        {
          flags: "--config-dir <folder>",
          about: "folder of the restored configuration",
          default: "/etc/matrix-synapse",
        },
      ],
    },
  ],
  example: "synlift standing",
  parse: (given) => parseOptions(schema, given),

  async run({ out, configDir }, system) {
    const [{ findStanding }, { describeStanding, standingLines }] = await Promise.all([
      import("../move/standing/run.ts"),
      import("../move/standing/text.ts"),
    ]);
    const { folder } = system.machine;
    const places = { out: resolve(folder, out), configFolder: resolve(folder, configDir) };
    const standing = await findStanding(places, system);
    const step = describeStanding(standing, places.out);
    const { sentences, next } = step;
    return {
      findings: [],
      details: { sentences: [...sentences], next: [...next] },
      instead: standingLines(step)
        .map((line) => `${line}\n`)
        .join(""),
      lines: [],
    };
  },
};
