import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import {
  FOLLOW_FOLDER,
  FOLLOWED_HOST_OPTIONS,
  LOGICAL_OPTIONS,
  MEDIA_BESIDE_OPTIONS,
  STANDBY_OPTIONS,
  SYSTEMD_DIR_OPTION,
} from "./options/follow.ts";
import { conflicts, DRY_RUN, parseOptions, withRules } from "./options/shared.ts";

const schema = withRules(
  z.object({
    ...FOLLOW_FOLDER.schema,
    ...FOLLOWED_HOST_OPTIONS.schema,
    ...STANDBY_OPTIONS.schema,
    ...LOGICAL_OPTIONS.schema,
    ...MEDIA_BESIDE_OPTIONS.schema,
    ...SYSTEMD_DIR_OPTION.schema,
    ...DRY_RUN.schema,
    yes: z.boolean().default(false),
    beginAgain: z.boolean().default(false),
    untilCaughtUp: z.boolean().default(false),
    service: z.boolean().default(false),
  }),
  conflicts("service", "untilCaughtUp", "dryRun"),
  conflicts("withoutMedia", "mediaDir", "layout", "owner", "mediaEvery"),
);

export const followCommand: Command<z.infer<typeof schema>> = {
  name: "follow",
  summary:
    "Make a copy of the old server's database and media here that follows it for days, so that the outage does not grow with them.",
  argument: {
    name: "ADDRESS",
    about: "the old host, with synlift installed: ssh://[user@]host[:port]; left out to go on with a copy",
    optional: true,
  },
  options: [
    {
      heading: "Common options",
      options: [
        FOLLOW_FOLDER,
        {
          flags: "--service",
          about: "write and start a systemd unit that copies and follows, also after a restart",
        },
        SYSTEMD_DIR_OPTION,
        { flags: "--until-caught-up", about: "end as soon as the copy has everything, for scripts" },
        {
          flags: "--begin-again",
          about: "delete the copy that there is, and make another one: when it is lost",
        },
        {
          flags: "--yes",
          about: "change the old PostgreSQL, and delete a copy with --begin-again, without asking",
        },
        DRY_RUN,
      ],
    },
    STANDBY_OPTIONS,
    MEDIA_BESIDE_OPTIONS,
    LOGICAL_OPTIONS,
    FOLLOWED_HOST_OPTIONS,
  ],
  example: "synlift follow ssh://root@old.example.org --service",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ follow }, { followDetails, followLines }] = await Promise.all([
      import("../move/follow/run.ts"),
      import("../move/follow/result-text.ts"),
    ]);
    const here = (path: string) => resolve(system.machine.folder, path);
    const configDir = here(options.configDir);
    const { checkpoint, maxRate, yes, dryRun, beginAgain, untilCaughtUp } = options;
    const result = await follow(
      {
        configDir,
        checkpoint,
        maxRate,
        media: MEDIA_BESIDE_OPTIONS.read(options, configDir, maxRate, system),
        yes,
        dryRun,
        beginAgain,
        untilCaughtUp,
        old: FOLLOWED_HOST_OPTIONS.read(options, system),
        road: options.road,
        logical: await LOGICAL_OPTIONS.read(options, system),
        place: STANDBY_OPTIONS.read(options, system),
        restart: options.restartPostgresql,
        service: options.service ? { systemdDir: here(options.systemdDir) } : undefined,
      },
      system,
      view,
    );
    return {
      findings: result.findings,
      details: followDetails(result),
      lines: followLines(result, configDir),
    };
  },
};
