import { z } from "zod";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import { formatCount } from "../report/units.ts";
import type { Command } from "./command.ts";
import { ACCEPT, parseOptions, REQUIRED_CONFIG_OPTIONS, TRACE } from "./options/shared.ts";

const schema = z.object({
  ...REQUIRED_CONFIG_OPTIONS.schema,
  hashes: z.boolean().default(false),
  ...ACCEPT.schema,
});

export const mediaCheckCommand: Command<z.infer<typeof schema>> = {
  name: "media check",
  summary: "Compare the media in the database with the files, before or after a move. Changes nothing.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--hashes", about: "read every file, and compare its hash where the database has one" },
        ACCEPT,
        TRACE,
      ],
    },
    REQUIRED_CONFIG_OPTIONS,
  ],
  example: "synlift media check --config /etc/matrix-synapse/homeserver.yaml --hashes",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ openReadOnly }, { checkMedia }, { readHomeserver }] = await Promise.all([
      import("../homeserver/database/open.ts"),
      import("../homeserver/media/check.ts"),
      import("../homeserver/read.ts"),
    ]);
    const homeserver = await readHomeserver(REQUIRED_CONFIG_OPTIONS.read(options, system), system.files);
    const { session } = await openReadOnly(homeserver, true, system);
    try {
      const found = await checkMedia(homeserver, options.hashes, { ...system, session }, view);
      const findings = acceptWarnings(found.findings, options.accept);
      const rows = found.facts ? formatCount(found.facts.rows) : "none";
      return {
        findings,
        details: { serverName: homeserver.serverName, media: found.facts ?? null },
        lines: [`compared uploads of ${homeserver.serverName}: ${rows}; nothing was changed`],
        failure: failureForFindings(findings),
      };
    } finally {
      await session.close();
    }
  },
};
