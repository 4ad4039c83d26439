import type { Bars, Fact } from "../report/page.ts";
import { formatBytes, formatCount, formatDuration } from "../report/units.ts";
import { predictedSeconds, type Prediction } from "./outage/prediction.ts";
import type { Sections } from "./sections.ts";

export function describePredicted(predicted: Prediction | undefined): string {
  if (!predicted) return "not predicted";
  const { whole, export: toHere } = predictedSeconds(predicted);
  return `${formatDuration(Math.ceil(whole))}, ${formatDuration(Math.ceil(toHere))} of it until the bundle is sealed`;
}

export function contentFacts({ database, media }: Sections): Fact[] {
  return [
    { label: "Rows", value: formatCount(Object.values(database.rows).reduce((sum, rows) => sum + rows, 0)) },
    { label: "Users", value: formatCount(rowsOf(database.rows, "users")) },
    { label: "Rooms", value: formatCount(rowsOf(database.rows, "rooms")) },
    { label: "Events", value: formatCount(rowsOf(database.rows, "events")) },
    { label: "Media files", value: `${formatCount(media.files)}, ${formatBytes(media.bytes)}` },
  ];
}

const rowsOf = (rows: Readonly<Record<string, number>>, table: string) =>
  Object.entries(rows).find(([name]) => name.endsWith(`.${table}`))?.[1] ?? 0;

export function largestTables({ database }: Sections): Bars {
  const rows = Object.entries(database.rows).sort(([, a], [, b]) => b - a);
  return {
    title: "Tables with the most rows",
    rows: rows.slice(0, 10).map(([name, count]) => ({
      label: name.replace(/^(?:public|main)\./, ""),
      value: count,
      text: formatCount(count),
    })),
  };
}

/** To the second, in UTC: "2026-11-23 10:33:48 UTC". */
export const moment = (milliseconds: number) =>
  `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
