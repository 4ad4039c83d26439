import type { Finding } from "../report/finding.ts";
import type { DelegationFacts, DiscoveryStep, StepId } from "./facts.ts";
import type { ServerName } from "./server-name.ts";

/** One finding on the result of server discovery, and what the kind of server name means for a move. */
export function discoveryFindings(name: ServerName, facts: DelegationFacts): Finding[] {
  return [...nameFindings(name), walkFinding(facts)];
}

function nameFindings({ text, host, port, family }: ServerName): Finding[] {
  if (family !== 0)
    return [
      {
        id: "server-name-is-ip",
        level: "warning",
        sentence: `the server name ${text} is an IP address, so other servers can find it only there`,
        hint: "a server name cannot be changed: the move is only possible if the new host takes over this address",
      },
    ];
  if (port === undefined) return [];
  return [
    {
      id: "server-name-port",
      level: "warning",
      sentence: `the server name ${text} has a port, so other servers use neither a well-known file nor an SRV record`,
      hint: `the new host must listen on port ${port} of ${host}, with a certificate for that name; only the address records can be changed`,
    },
  ];
}

function walkFinding({ serverName, steps, federation }: DelegationFacts): Finding {
  const evidence = steps.map(stepText);
  if (!federation)
    return {
      id: "server-unresolved",
      level: "warning",
      sentence: `other servers cannot find ${serverName}: ${steps.at(-1)?.answer ?? "discovery found no address"}`,
      evidence,
      hint: "correct the record or remove it: only a missing record makes servers continue with the next step",
    };
  const places = federation.targets.map(({ host, port }) => `${host} port ${port}`).join(", then ");
  const whereTo = federation.addresses.map(
    ({ host, address, port }) => `${host} is ${address}, port ${port}`,
  );
  if (federation.addresses.length === 0)
    return {
      id: "server-unresolved",
      level: "warning",
      sentence: `other servers look for ${serverName} at ${places}, which has no address`,
      evidence,
      hint: "add an A or AAAA record for it, or change the record that points to it",
    };
  const names = `Host header ${federation.hostHeader}, certificate for ${federation.certificateName}`;
  return {
    id: "server-resolved",
    level: "ok",
    sentence: `other servers find ${serverName} at ${places}, ${WAYS[federation.step]}`,
    evidence: [...evidence, ...whereTo, names],
  };
}

const stepText = ({ id, asked, answer }: DiscoveryStep) => `step ${id}: ${asked}: ${answer}`;

const WAYS: Readonly<Record<StepId, string>> = {
  "1": "as the server name is an IP address",
  "2": "as the server name includes the port",
  "3": "through its well-known file",
  "3.1": "through its well-known file",
  "3.2": "through its well-known file",
  "3.3": "through its well-known file and an SRV record",
  "3.4": "through its well-known file and a deprecated SRV record",
  "3.5": "through its well-known file",
  "4": "through an SRV record",
  "5": "through a deprecated SRV record",
  "6": "which is the default",
};
