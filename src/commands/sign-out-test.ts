import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { ACCEPT, parseOptions } from "./options/shared.ts";
import { originSchema } from "./options/site.ts";

const schema = z.object({
  argument: originSchema,
  ca: z.string().min(1).optional(),
  ...ACCEPT.schema,
});

export const signOutTestCommand: Command<z.infer<typeof schema>> = {
  name: "sign-out test",
  summary:
    "Ask an address as browsers, other clients and servers do: would everybody be signed out? Changes nothing.",
  argument: { name: "URL", about: "the old address: https://matrix.example.org" },
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--ca <file>", about: "authorities that sign its certificate", default: "Node's" },
        ACCEPT,
      ],
    },
  ],
  example: "synlift sign-out test https://matrix.example.org",
  parse: (given) => parseOptions(schema, given),

  async run({ argument: base, ca, accept }, system) {
    const { testSignOut } = await import("../move/old-address/test-sign-out.ts");
    const authorities = ca === undefined ? undefined : resolve(system.machine.folder, ca);
    const result = await testSignOut({ base, authorities, accepted: accept }, system);
    return { ...result, details: { url: base }, lines: [] };
  },
};
