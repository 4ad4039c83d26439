import type { MediaFacts } from "../../homeserver/media/facts.ts";
import type { Bars, Columns, Fact, Timeline } from "../../report/page.ts";
import { formatBytes, formatCount, formatDuration } from "../../report/units.ts";
import type { PlanInspection } from "./look.ts";
import type { PlanQuestions } from "./questions.ts";

const TABLES = 10;

/** Where the database's bytes are. */
export function tableBars({ database }: PlanInspection): Bars | undefined {
  const tables = database?.tables.slice(0, TABLES) ?? [];
  if (database === undefined || tables.length === 0) return undefined;
  const rest = database.tables.slice(TABLES).reduce((sum, { bytes }) => sum + bytes, 0);
  const rows = tables.map(({ name, bytes }) => ({ label: name, value: bytes, text: formatBytes(bytes) }));
  const others = {
    label: `${formatCount(database.tables.length - tables.length)} other tables`,
    value: rest,
    text: formatBytes(rest),
  };
  return {
    title: "Database by table",
    note: `${formatBytes(database.bytes)} in all, with indexes`,
    rows: rest > 0 ? [...rows, others] : rows,
  };
}

/** What kinds of media there are, by the rows of the database. */
export function mediaBars({ media }: PlanInspection): Bars | undefined {
  const kinds = media?.kinds;
  if (!kinds) return undefined;
  const named: readonly [string, { readonly files: number; readonly bytes: number }][] = [
    ["local uploads", kinds.localUploads],
    ["their thumbnails", kinds.localThumbnails],
    ["media of other servers", kinds.remoteMedia],
    ["thumbnails of it", kinds.remoteThumbnails],
    ["URL previews", kinds.urlPreviews],
    ["their thumbnails ", kinds.urlPreviewThumbnails],
  ];
  return {
    title: "Media by kind",
    note: "uploads and their thumbnails are moved; the rest is fetched again when requested",
    rows: named.map(([label, { files, bytes }]) => ({
      label: label.trim(),
      value: bytes,
      text: `${formatBytes(bytes)}, ${formatCount(files)} ${files === 1 ? "file" : "files"}`,
    })),
  };
}

export function mediaColumns({ media }: PlanInspection): Columns | undefined {
  const columns = media?.byAge ?? [];
  if (columns.length === 0) return undefined;
  const amount = ({ bytes }: { readonly bytes: number }) => ({ value: bytes, text: formatBytes(bytes) });
  return {
    title: "Media by age",
    series: ["local uploads", "media of other servers"],
    columns: columns.map(({ period, local, remote }) => ({
      label: period === "" ? "no date" : period,
      values: [amount(local), amount(remote)],
      total: formatBytes(local.bytes + remote.bytes),
    })),
  };
}

export function outageTimeline({ estimate }: PlanInspection, questions: PlanQuestions): Timeline | undefined {
  if (estimate === undefined) return undefined;
  const road = `${formatBytes(questions.link)}/s between the hosts`;
  return {
    title: "The outage",
    note: `packing is measured with a sample on this machine, without disk writes; restoring is estimated for a similar machine; ${questions.linkNamed ? road : `assumed: ${road}`}`,
    stages: estimate.outage.map(({ label, seconds }) => ({ label, seconds })),
  };
}

/** The most important figures. */
export function planFacts(looked: PlanInspection): Fact[] {
  const { estimate, database, media, people } = looked;
  return [
    ...(estimate === undefined
      ? []
      : [{ label: "Outage, about", value: formatDuration(Math.ceil(estimate.outageSeconds)) }]),
    ...(estimate === undefined ? [] : [{ label: "Bundle, about", value: formatBytes(estimate.bundleBytes) }]),
    ...(database === undefined
      ? []
      : [
          {
            label: "Database",
            value: `${formatBytes(database.bytes)}, ${database.engine === "sqlite" ? "SQLite" : "PostgreSQL"} ${database.version}`,
          },
        ]),
    ...(media?.packed ? [{ label: "Media to move", value: mediaWords(media) }] : []),
    ...(people === undefined ? [] : [{ label: "People", value: peopleWords(people) }]),
    ...(looked.version === undefined ? [] : [{ label: "Synapse", value: looked.version.version.text }]),
  ];
}

const mediaWords = ({ packed }: MediaFacts) =>
  `${formatBytes(packed!.bytes)}, ${formatCount(packed!.files)} files`;

const peopleWords = ({ people, atRisk }: NonNullable<PlanInspection["people"]>) =>
  `${formatCount(people)}, ${formatCount(atRisk)} without a working key backup`;
