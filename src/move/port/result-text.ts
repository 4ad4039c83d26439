import { stringify } from "yaml";
import { synapseArgs } from "../../homeserver/database/address.ts";
import { formatCount, formatDuration } from "../../report/units.ts";
import { describeAddress, type PostgresAddress } from "../../system/postgres/postgres.ts";
import { secondsOf } from "./report.ts";
import type { PortResult } from "./run.ts";

/** For scripts: seconds, and rows by table. */
export function portDetails(result: PortResult) {
  const { kind, serverName, target } = result;
  const shared = { result: kind, serverName, target: describeAddress(target) };
  if (kind !== "ported" && kind !== "rehearsed") return shared;
  const { seconds, rows, log, report } = result;
  return { ...shared, seconds: { ...seconds, all: secondsOf(seconds) }, rows: { ...rows }, log, report };
}

/** What was done, and what comes next, a line each. */
export function describePort(result: PortResult): string[] {
  const { serverName, target } = result;
  const where = describeAddress(target);
  switch (result.kind) {
    case "blocked":
      return [`nothing was written to ${where}`];
    case "dry-run":
      return [`dry run: nothing was written; ${serverName} can be ported to ${where}`];
    case "already-ported":
      return [
        `${serverName} was ported to ${where} already, and its SQLite file has not changed since`,
        ...next(target),
      ];
    case "rehearsed":
      return [
        `${serverName} can be ported: it took ${formatDuration(secondsOf(result.seconds))}, and ${where} is empty again`,
        `report: ${result.report}`,
      ];
    case "ported":
      return [
        `${serverName} is on PostgreSQL, in ${where}: ${formatCount(result.rows["events"] ?? 0)} events, in ${formatDuration(secondsOf(result.seconds))}`,
        `report: ${result.report}; log: ${result.log}`,
        ...next(target),
      ];
  }
}

/** Synapse's settings for the new database. */
function next({ account: _, ...address }: PostgresAddress): string[] {
  const { password, ...args } = synapseArgs(address);
  const block = stringify({
    database: {
      name: "psycopg2",
      args: {
        ...args,
        ...(password === undefined ? {} : { password: "THE PASSWORD" }),
        cp_min: 5,
        cp_max: 10,
      },
    },
  });
  return [
    "put this into the configuration in place of its `database`, start the server, and keep the SQLite file until all is well:",
    ...block
      .trimEnd()
      .split("\n")
      .map((line) => `    ${line}`),
  ];
}
