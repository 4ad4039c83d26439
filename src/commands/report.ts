import { resolve } from "node:path";
import { z } from "zod";
import type { Command } from "./command.ts";
import { inspectedSchema, planQuestions } from "./options/inspected.ts";
import { CONFIG_OPTIONS, parseOptions } from "./options/shared.ts";

const schema = z.object({
  redact: z.boolean().default(false),
  file: z.string().min(1).optional(),
  out: z.string().min(1).default("/srv/move"),
  configDir: z.string().min(1).default("/etc/matrix-synapse"),
  log: z.array(z.string().min(1)).default([]),
  look: z.boolean().default(true),
  ...CONFIG_OPTIONS.schema,
});

export const reportCommand: Command<z.infer<typeof schema>> = {
  name: "report",
  summary:
    "Write findings, records, versions and logs into one text file, for those who help: never a secret, and with --redact no name.",
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--redact", about: "replace names, addresses and paths, so that the report can be shared" },
        { flags: "--file <file>", about: "where to write it", default: "synlift-report-TIME.txt, here" },
        { flags: "--out <folder>", about: "folder of the bundle", default: "/srv/move" },
        {
          flags: "--config-dir <folder>",
          about: "on the new host: folder of the restored configuration",
          default: "/etc/matrix-synapse",
        },
        {
          flags: "--log <file>",
          about: "also the end of this text file: the output of a command that you kept, a log of Synapse",
          many: true,
        },
        { flags: "--no-look", about: "do not look at the homeserver as plan does" },
      ],
    },
    CONFIG_OPTIONS,
  ],
  example: "synlift report --redact --out /srv/move --file /root/report.txt",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ writeSupportReport }, { describeReport }, { planMove }] = await Promise.all([
      import("../move/support/run.ts"),
      import("../move/support/result-text.ts"),
      import("../move/plan/run.ts"),
    ]);
    const { machine } = system;
    const here = (path: string) => resolve(machine.folder, path);
    const time = new Date(machine.now())
      .toISOString()
      .replace(/:\d\d\..*$/, "")
      .replaceAll(":", "");
    const given = CONFIG_OPTIONS.read(options, system);
    const plain = z.object(inspectedSchema).parse({});
    const questions = await planQuestions({ ...plain, deep: false, out: options.out }, system);
    const result = await writeSupportReport(
      {
        out: here(options.out),
        configFolder: here(options.configDir),
        given,
        look: options.look
          ? async () => {
              const { page } = await planMove(
                {
                  given,
                  questions,
                  newHost: plain.newHost,
                  when: undefined,
                  split: undefined,
                  resolver: undefined,
                  html: undefined,
                  redacted: false,
                  accepted: [],
                },
                system,
                view,
              );
              return { findings: page.findings, verdict: page.verdict.sentence };
            }
          : undefined,
        logs: options.log.map(here),
        redact: options.redact,
        file: here(options.file ?? `synlift-report-${time}.txt`),
      },
      system,
    );
    return {
      findings: [],
      details: { ...result, sections: [...result.sections] },
      lines: describeReport(result),
    };
  },
};
