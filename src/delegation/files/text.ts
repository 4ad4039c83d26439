import { calendarJson, dateText } from "./calendar.ts";
import type { FilesResult } from "./run.ts";

export interface FilesShown {
  readonly serverName: string;
  readonly out: string;
  readonly dryRun: boolean;
}

/** The result in sentences, a line each. */
export function describeFiles(
  { files, zone, calendar, written }: FilesResult,
  { serverName, out, dryRun }: FilesShown,
): string[] {
  const { lowerBy, toLower, changeAt, keepUntil } = calendar;
  const records = (all: FilesResult["zone"]["add"]) =>
    all.length === 0 ? "none" : all.map(({ name, type, value }) => `${name} ${type} ${value}`).join(", ");
  return [
    `well-known files: ${files.map(({ path }) => path).join(", ")}`,
    `records to remove: ${records(zone.remove)}`,
    `records to add: ${records(zone.add)}`,
    ...(toLower.length > 0
      ? [`lower TTLs and cache times until ${dateText(lowerBy)}: ${toLower.join("; ")}`]
      : []),
    `change the address at ${dateText(changeAt)}; keep answering other servers at the old one until ${dateText(keepUntil)}`,
    ...(dryRun
      ? [`dry run: nothing was written; ${written.length} files would be, below ${out}`]
      : [
          `${written.length} files were written below ${out}`,
          `after the change: synlift delegation check ${serverName} --expect ${out}/expected.json`,
        ]),
  ];
}

/** The result for scripts; part of the contract of `delegation files --json`. */
export function filesDetails(
  { files, zone, calendar, written }: FilesResult,
  { serverName, out, dryRun }: FilesShown,
) {
  const records = (all: FilesResult["zone"]["add"]) =>
    all.map(({ name, ttl, type, value }) => ({ name, ttl, type, value }));
  return {
    serverName,
    folder: out,
    dryRun,
    written: [...written],
    wellKnown: files.map(({ path, before, after }) => ({ path, before: before ?? null, after })),
    dns: { lower: records(zone.lower), remove: records(zone.remove), add: records(zone.add) },
    calendar: calendarJson(calendar),
  };
}
