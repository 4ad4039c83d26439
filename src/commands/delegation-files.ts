import { resolve } from "node:path";
import { z } from "zod";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import type { Command } from "./command.ts";
import { ASKING_OPTIONS, MOVED_ADDRESS, SERVER_NAME, serverNameArgument } from "./options/delegation.ts";
import { ACCEPT, DRY_RUN, parseOptions } from "./options/shared.ts";

const schema = z.object({
  argument: serverNameArgument,
  out: z.string().min(1).default("delegation"),
  from: z.string().min(1).optional(),
  answersFrom: z.url({ protocol: /^https?$/ }).default("http://127.0.0.1:8081"),
  ...MOVED_ADDRESS.schema,
  ...ASKING_OPTIONS.schema,
  resolver: ASKING_OPTIONS.schema.resolver.refine((all) => all.length < 2, "only one resolver is asked"),
  ...ACCEPT.schema,
  ...DRY_RUN.schema,
});

export const delegationFilesCommand: Command<z.infer<typeof schema>> = {
  name: "delegation files",
  summary:
    "Write what moves the address: well-known files, also for web servers, DNS records and a calendar.",
  argument: SERVER_NAME,
  options: [
    {
      heading: "Common options",
      options: [
        { flags: "--out <folder>", about: "folder to write the files to", default: "delegation" },
        {
          flags: "--from <folder>",
          about: "folder of the present web server with .well-known in it, for files that are not served",
        },
        {
          flags: "--answers-from <url>",
          about: "for Traefik: a web server with the files",
          default: "http://127.0.0.1:8081",
        },
        DRY_RUN,
        ACCEPT,
      ],
    },
    MOVED_ADDRESS,
    ASKING_OPTIONS,
  ],
  example:
    "synlift delegation files example.org --client-url https://matrix.example.org --federation matrix.example.org:443 " +
    "--address 192.0.2.7 --when '2026-12-01 02:00 UTC' --out /root/delegation",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ prepareDelegation }, { describeFiles, filesDetails }] = await Promise.all([
      import("../delegation/files/run.ts"),
      import("../delegation/files/text.ts"),
    ]);
    const { folder } = system.machine;
    const { resolvers, ...asking } = ASKING_OPTIONS.read(options);
    const [resolver] = resolvers;
    const order = {
      serverName: options.argument,
      ...MOVED_ADDRESS.read(options),
      out: resolve(folder, options.out),
      from: options.from === undefined ? undefined : resolve(folder, options.from),
      answersFrom: options.answersFrom.replace(/\/+$/, ""),
      ...asking,
      dryRun: options.dryRun,
    };
    const world = { ...system, dns: resolver ? system.dns.withResolver(resolver) : system.dns };
    const result = await prepareDelegation(order, world, view);
    const findings = acceptWarnings(result.findings, options.accept);
    return {
      findings,
      details: filesDetails(result, order),
      lines: describeFiles(result, order),
      failure: failureForFindings(findings),
    };
  },
};
