import { test } from "node:test";
import { planDetails } from "../../../src/move/plan/details.ts";
import type { PlanInspection } from "../../../src/move/plan/look.ts";
import { planPage, type PlanPageInput } from "../../../src/move/plan/page.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const INSPECTION: PlanInspection = {
  findings: [],
  running: true,
  stoppedByHand: false,
  version: undefined,
  target: undefined,
  database: undefined,
  media: undefined,
  people: undefined,
  estimate: { outage: [], outageSeconds: 1500, preparationSeconds: 60, bundleBytes: 1e9 },
  rates: undefined,
  load: undefined,
  savings: [],
};

const PLAN: PlanPageInput = {
  serverName: "example.org",
  looked: INSPECTION,
  questions: { deep: false, out: "/srv/move", link: 12_500_000, linkNamed: false },
  findings: [],
  agenda: undefined,
  safeFrom: Date.UTC(2026, 11, 1, 2),
  calendar: {
    lowerBy: Date.UTC(2026, 10, 29, 2),
    toLower: ["A matrix.example.org from 86400 to 300 seconds"],
    changeAt: Date.UTC(2026, 11, 1, 2),
    keepUntil: Date.UTC(2026, 11, 3, 2),
  },
  now: Date.UTC(2026, 10, 20, 9),
};

const warning = { id: "other-servers", level: "warning", sentence: "something needs a decision" } as const;
const blocker = { id: "gpg", level: "blocker", sentence: "gpg is not installed" } as const;

const OUTCOMES: Readonly<Record<string, PlanPageInput>> = {
  works: PLAN,
  warnings: { ...PLAN, findings: [warning] },
  blockers: { ...PLAN, findings: [warning, blocker, blocker] },
  "config-unreadable": {
    ...PLAN,
    serverName: "a homeserver",
    looked: undefined,
    safeFrom: undefined,
    calendar: undefined,
    findings: [{ ...blocker, id: "config-unreadable", sentence: "the configuration cannot be read" }],
  },
};

for (const [name, plan] of Object.entries(OUTCOMES))
  test(`a plan with the outcome "${name}" reads as it should`, () => {
    const page = planPage(plan);
    matchesGolden(
      `plan-${name}.txt`,
      outcomeText({
        findings: page.findings,
        details: planDetails(plan, undefined),
        lines: [page.verdict.sentence, ...page.facts.map(({ label, value }) => `${label}: ${value}`)],
      }),
    );
  });
