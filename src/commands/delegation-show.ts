import { z } from "zod";
import { acceptWarnings, failureForFindings } from "../report/accept.ts";
import { plainJson } from "../report/json.ts";
import type { Command } from "./command.ts";
import { ASKING_OPTIONS, SERVER_NAME, serverNameArgument } from "./options/delegation.ts";
import { ACCEPT, parseOptions } from "./options/shared.ts";

const schema = z.object({
  argument: serverNameArgument,
  ...ASKING_OPTIONS.schema,
  resolver: ASKING_OPTIONS.schema.resolver.refine((all) => all.length < 2, "only one resolver is asked"),
  ...ACCEPT.schema,
});

export const delegationShowCommand: Command<z.infer<typeof schema>> = {
  name: "delegation show",
  summary: "Show step by step how clients and other servers find a homeserver. Changes nothing.",
  argument: SERVER_NAME,
  options: [{ heading: "Common options", options: [ACCEPT] }, ASKING_OPTIONS],
  example: "synlift delegation show example.org",
  parse: (given) => parseOptions(schema, given),

  async run(options, system, view) {
    const [{ inspectDelegation }, { delegationText }] = await Promise.all([
      import("../delegation/inspect.ts"),
      import("../delegation/show-text.ts"),
    ]);
    const { resolvers, ...asking } = ASKING_OPTIONS.read(options);
    const [resolver] = resolvers;
    const dns = resolver ? system.dns.withResolver(resolver) : system.dns;
    const { findings: found, facts } = await inspectDelegation(
      { serverName: options.argument, ...asking },
      { dns, http: system.http, machine: system.machine, signal: system.signal },
      view,
    );
    const findings = acceptWarnings(found, options.accept);
    return {
      opening: delegationText(facts, system.terminal.results),
      brief: true,
      findings,
      details: { ...plainJson(facts), safeFrom: new Date(facts.safeFrom).toISOString() },
      lines: [],
      failure: failureForFindings(findings),
    };
  },
};
