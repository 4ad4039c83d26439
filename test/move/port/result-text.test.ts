import { test } from "node:test";
import { portPage } from "../../../src/move/port/report.ts";
import { describePort, portDetails } from "../../../src/move/port/result-text.ts";
import type { PortResult } from "../../../src/move/port/run.ts";
import { pageHtml } from "../../../src/report/html.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const SHARED = {
  serverName: "example.org",
  target: {
    parameters: { user: "synapse", dbname: "synapse", host: "127.0.0.1", port: "5432" },
    password: "a secret",
  },
};

const SECONDS = { copy: 2.4, checks: 8, script: 410.2, after: 31 };
const ROWS = { events: 100_067, users: 4, rooms: 12, event_json: 100_067 };
const FINDINGS = [
  {
    id: "port-sequences",
    level: "ok",
    sentence: "1 sequence was behind the ids in use, and was raised",
    evidence: ["device_inbox_sequence: at 1, but the position of to_device in stream_positions is 3"],
  },
] as const;

const RESULTS: Readonly<Record<string, PortResult>> = {
  blocked: {
    ...SHARED,
    kind: "blocked",
    findings: [
      {
        id: "port-nul-bytes",
        level: "blocker",
        sentence: "texts in the database contain NUL characters: synapse_port_db would leave these rows out",
        evidence: ["devices.display_name: 1 rows"],
        hint: "--fix nul-bytes does this on a copy: …",
      },
    ],
  },
  "dry-run": { ...SHARED, kind: "dry-run", folder: "/srv/port", findings: [] },
  "already-ported": { ...SHARED, kind: "already-ported", findings: [] },
  rehearsed: {
    ...SHARED,
    kind: "rehearsed",
    findings: [],
    rows: ROWS,
    seconds: SECONDS,
    log: "/srv/port/port.log",
    report: "/srv/port/port.html",
  },
  ported: {
    ...SHARED,
    kind: "ported",
    findings: FINDINGS,
    rows: ROWS,
    seconds: SECONDS,
    log: "/srv/port/port.log",
    report: "/srv/port/port.html",
  },
};

for (const [name, result] of Object.entries(RESULTS))
  test(`what people and scripts are told of a port: ${name}`, () => {
    const { findings } = result;
    matchesGolden(
      `port-${name}.txt`,
      outcomeText({ findings, details: portDetails(result), lines: describePort(result) }),
    );
  });

test("the report has names, numbers and stages", () => {
  const page = portPage({
    serverName: "example.org",
    target: "synapse on 127.0.0.1:5432",
    rows: ROWS,
    rehearsal: false,
    findings: FINDINGS,
    seconds: SECONDS,
    now: Date.UTC(2026, 10, 30, 12),
  });
  matchesGolden("page-port.html", pageHtml(page));
});
