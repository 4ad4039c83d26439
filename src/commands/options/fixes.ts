import { z } from "zod";
import { FIX_SEQUENCES, PORT_FIX_NAMES, PORT_FIXES } from "../../homeserver/database/fixes.ts";
import { optionGroup } from "../command.ts";

/** Faults of the old server that are mended after the fence. */
export const SOURCE_FIX = {
  flags: "--fix <name>",
  about: `${FIX_SEQUENCES}: raise the sequences of the old database that are behind the ids in use`,
  many: true,
  schema: { fix: z.array(z.enum([FIX_SEQUENCES], { error: `write ${FIX_SEQUENCES}` })).default([]) },
};

/** In a move. */
export const PORT_SWITCH = {
  flags: "--port",
  about: "port an SQLite database to PostgreSQL on the way, with the Synapse of the new host",
  schema: { port: z.boolean().default(false) },
};

/** How a database of SQLite is copied into one of PostgreSQL. */
export const PORTING_OPTIONS = optionGroup({
  heading: "Port from SQLite to PostgreSQL",
  options: [
    {
      flags: "--fix <name>",
      about: `mend this fault on the private copy: ${PORT_FIX_NAMES.map((name) => `${name} (${PORT_FIXES[name]})`).join("; ")}`,
      many: true,
    },
    {
      flags: "--silence <minutes>",
      about: "end Synapse's program when it says nothing for so long",
      default: "30",
    },
    {
      flags: "--install-synapse",
      about:
        "install Synapse in a virtual environment if this host has none that can be used, without asking",
    },
  ],
  schema: {
    fix: z.array(z.enum(PORT_FIX_NAMES, { error: `write ${PORT_FIX_NAMES.join(", ")}` })).default([]),
    silence: z.coerce.number().positive().max(1440).default(30),
    installSynapse: z.boolean().default(false),
  },
  read: ({ fix, silence, installSynapse }) => ({ fixes: fix, silence: silence * 60_000, installSynapse }),
});
