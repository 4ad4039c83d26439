import { z } from "zod";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import type { Command } from "./command.ts";
import {
  ASKING_OPTIONS,
  EXPECTED_OPTIONS,
  LOGIN_OPTIONS,
  parseAt,
  parseTime,
  SERVER_NAME,
  serverNameArgument,
} from "./options/delegation.ts";
import { ACCEPT, parseOptions, requires, withRules } from "./options/shared.ts";

const schema = withRules(
  z.object({
    argument: serverNameArgument,
    at: z.array(z.string().transform(parseAt)).default([]),
    watch: z.string().transform(parseTime).optional(),
    every: z.string().default("30s").transform(parseTime),
    tap: z.boolean().default(false),
    notary: z.array(z.string().min(1)).default([]),
    ...EXPECTED_OPTIONS.schema,
    ...ASKING_OPTIONS.schema,
    ...LOGIN_OPTIONS.schema,
    ...ACCEPT.schema,
  }),
  requires("login", "passwordFile"),
  requires("passwordFile", "login"),
);

export const delegationCheckCommand: Command<z.infer<typeof schema>> = {
  name: "delegation check",
  summary:
    "Check every address of a homeserver against what is expected, before and after the address moves.",
  argument: SERVER_NAME,
  options: [
    {
      heading: "Common options",
      options: [
        {
          flags: "--at <address>",
          about:
            "before DNS is changed: connect to this address of the new host; or HOST=ADDRESS for one host alone",
          many: true,
        },
        { flags: "--watch <time>", about: "check again until everything is as expected, at most for 2h" },
        { flags: "--every <time>", about: "with --watch: the pause between two checks", default: "30s" },
        { flags: "--tap", about: "write the result as TAP, a line for each check at each address" },
        ACCEPT,
      ],
    },
    EXPECTED_OPTIONS,
    ASKING_OPTIONS,
    LOGIN_OPTIONS,
    {
      heading: "Other servers",
      options: [
        {
          flags: "--notary <server>",
          about: "server name of another homeserver: ask it which signing keys it knows",
          many: true,
        },
      ],
    },
  ],
  example:
    "synlift delegation check example.org --client-url https://matrix.example.org --federation matrix.example.org:443 " +
    "--signing-key 'ed25519:a_EUHY A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg' --address 192.0.2.7 --resolver 1.1.1.1 --resolver 8.8.8.8 --watch 2h",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ checkDelegation }, { tapText }, { checkDetails, describeCheck }] = await Promise.all([
      import("../delegation/check/run.ts"),
      import("../delegation/check/tap.ts"),
      import("../delegation/check/text.ts"),
    ]);
    const { argument: serverName, at, watch, every, notary } = options;
    const order = {
      serverName,
      expected: await EXPECTED_OPTIONS.read(options, serverName, system),
      at,
      notaries: notary,
      login: await LOGIN_OPTIONS.read(options, system),
      ...ASKING_OPTIONS.read(options),
    };
    const watching = watch === undefined ? undefined : { limit: watch, every };
    const { results, findings: found } = await checkDelegation(order, system, view, watching);
    const findings = acceptWarnings(found, options.accept);
    return {
      findings,
      instead: options.tap ? tapText(results) : undefined,
      details: checkDetails(serverName, results),
      lines: describeCheck(serverName, results),
      failure: failureForFindings(findings),
    };
  },
};
