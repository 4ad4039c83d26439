import { calendarJson } from "../../delegation/files/calendar.ts";
import type { DelegationFacts } from "../../delegation/facts.ts";
import { plainJson } from "../../report/json.ts";
import type { PlanInspection } from "./look.ts";
import type { PlanPageInput } from "./page.ts";
import type { PlanQuestions } from "./questions.ts";

/** The details of `--json` besides the findings: sizes in bytes, durations in seconds, dates in ISO 8601. No secrets. */
export function planDetails(shown: PlanPageInput, delegation: DelegationFacts | undefined) {
  const { serverName, looked, questions, agenda, safeFrom, calendar } = shown;
  return {
    serverName,
    deep: questions.deep,
    running: looked?.running ?? null,
    synapse: looked?.version?.version.text ?? null,
    target:
      looked?.target === undefined
        ? null
        : { url: looked.target.url, version: looked.target.version?.text ?? null },
    database: databaseJson(looked),
    media: looked?.media ?? null,
    people: looked?.people === undefined ? null : { ...looked.people },
    estimate: estimateJson(looked, questions),
    delegation: delegation === undefined ? null : plainJson(delegation),
    safeFrom: safeFrom === undefined ? null : new Date(safeFrom).toISOString(),
    calendar: calendar ? calendarJson(calendar) : null,
    agenda:
      agenda === undefined
        ? null
        : agenda.steps.map(({ when, title, where, text, commands, tone }) => ({
            when: when ?? null,
            title,
            where: where ?? null,
            text: text ?? null,
            commands: [...(commands ?? [])],
            tone: tone ?? null,
          })),
  };
}

function databaseJson(looked: PlanInspection | undefined) {
  const database = looked?.database;
  if (database === undefined) return null;
  const { engine, version, bytes, encoding, collate, schema, tables } = database;
  return {
    engine,
    version,
    bytes,
    encoding,
    collate,
    schema: schema === null ? null : { ...schema },
    tables: tables.map((table) => ({ ...table })),
  };
}

function estimateJson(looked: PlanInspection | undefined, { link, linkNamed }: PlanQuestions) {
  if (looked?.estimate === undefined || looked.load === undefined || looked.rates === undefined) return null;
  const { outage, outageSeconds, preparationSeconds, bundleBytes } = looked.estimate;
  return {
    outageSeconds: tenths(outageSeconds),
    preparationSeconds: tenths(preparationSeconds),
    bundleBytes: Math.round(bundleBytes),
    dumpBytes: Math.round(looked.load.dumpBytes),
    stages: outage.map((stage) => ({ ...stage, seconds: tenths(stage.seconds) })),
    savings: looked.savings.map((saving) => ({ ...saving, seconds: tenths(saving.seconds) })),
    bytesPerSecond: {
      reading: Math.round(looked.rates.reading),
      packingDatabase: Math.round(looked.rates.database.packing),
      packingMedia: Math.round(looked.rates.media.packing),
      link: Math.round(link),
    },
    linkAssumed: !linkNamed,
  };
}

const tenths = (seconds: number) => Math.round(seconds * 10) / 10;
