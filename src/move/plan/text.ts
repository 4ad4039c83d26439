import { barsText } from "../../report/bars-text.ts";
import type { Bars, Page } from "../../report/page.ts";
import { runbookText, timelineText } from "../../report/runbook-text.ts";
import { tableText } from "../../report/table.ts";
import { type DisplayOptions, noteText, sectionText } from "../../report/text.ts";

/**
 * The plan for a terminal, without its findings: the same facts, figures and steps as on the page. Ends with a line
 * break. Commands are never broken, so that they can be copied.
 */
export function planText(
  { facts, timeline, runbook, bars, columns = [] }: Page,
  look: DisplayOptions,
): string {
  const sections = [
    sectionText(
      "Summary",
      tableText(
        [{ name: "what" }, { name: "how much" }],
        facts.map(({ label, value }) => [label, value]),
        look,
      ),
      look,
    ),
    ...bars.map((one) => sectionText(one.title, barsBody(one, look), look)),
    ...columns.map(({ title, series, columns: periods }) =>
      sectionText(
        title,
        tableText(
          [{ name: "period" }, ...series.map((name) => ({ name, align: "right" as const }))],
          periods.map(({ label, values }) => [label, ...values.map(({ text }) => text)]),
          look,
        ),
        look,
      ),
    ),
    ...(timeline ? [sectionText(timeline.title, timelineText(timeline, look), look)] : []),
    ...(runbook ? [sectionText(runbook.title, runbookText(runbook, look), look)] : []),
  ];
  return sections.filter((section) => section !== "").join("\n");
}

const barsBody = ({ note, rows }: Bars, look: DisplayOptions) =>
  `${barsText(rows, look)}${note === undefined ? "" : noteText(note, look)}`;
