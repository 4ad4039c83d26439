import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExpireResult } from "../../src/move/old-address/expire.ts";
import { expireDetails, expireLines } from "../../src/move/old-address/expire-text.ts";
import { confirmSignOut, type SignOutSurvey } from "../../src/move/old-address/survey.ts";
import { MigrationError } from "../../src/errors.ts";
import { matchesGolden } from "../report/golden.ts";

const counts = { accounts: 1_204, accessTokens: 2_911, refreshTokens: 17, pushers: 801 };
const shared = { serverName: "example.org", findings: [] };
const recorded = { end: "hard", at: Date.UTC(2026, 11, 1, 2), counts } as const;

const RESULTS: Readonly<Record<string, ExpireResult>> = {
  soft: {
    ...shared,
    kind: "soft",
    dryRun: false,
    counts: { ...counts, pushers: 0 },
    left: { appservices: 12, guests: 0, kept: 1 },
  },
  "hard-dry-run": {
    ...shared,
    kind: "hard",
    dryRun: true,
    counts,
    left: { appservices: 0, guests: 3, kept: 0 },
  },
  undo: { ...shared, kind: "undo", dryRun: false, recorded, restorable: 2_900 },
  forget: { ...shared, kind: "forget", dryRun: false, recorded, restorable: 2_900 },
};

for (const [name, result] of Object.entries(RESULTS))
  test(`what ${name} says and keeps and loses`, () => {
    matchesGolden(`sign-out-expire-${name}.txt`, `${expireLines(result).join("\n")}\n`);
    assert.doesNotThrow(() => JSON.stringify(expireDetails(result)));
  });

const surveyed = (atRisk: number): SignOutSurvey => ({
  counts: { people: 7, atRisk, atRiskActive: 2 } as SignOutSurvey["counts"],
  findings: [],
});

/** What a person is asked, and what came of their answer; undefined answer: nobody is there. */
async function asked(survey: SignOutSurvey, answer: boolean | undefined, yes = false) {
  const questions: string[] = [];
  const terminal = {
    interactive: answer !== undefined,
    confirm(question: string) {
      questions.push(question);
      return Promise.resolve(answer === true);
    },
  };
  const system = { terminal } as unknown as Parameters<typeof confirmSignOut>[2];
  const error = await confirmSignOut(survey, { kind: "soft", yes }, system).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return { questions, error };
  assert.ok(error instanceof MigrationError && error.code === "bad-usage");
  return { questions, error };
}

test("nobody is asked where nobody would lose messages, nor with --yes", async () => {
  for (const { questions, error } of [
    await asked(surveyed(0), true),
    await asked(surveyed(0), undefined),
    await asked(surveyed(4), undefined, true),
  ])
    assert.deepEqual([questions, error], [[], undefined]);
});

test("where somebody would lose messages, a person is asked with the numbers, and no means that nothing is done", async () => {
  const no = await asked(surveyed(4), false);
  assert.match(
    no.questions.join(),
    /4 of 7 people would lose encrypted messages, 2 of them seen in the last 30 days[^]*synlift forward/,
  );
  assert.match(no.error!.message, /nothing was done/);
  const yes = await asked(surveyed(4), true);
  assert.deepEqual([yes.questions.length, yes.error], [1, undefined]);
});

test("without a terminal it is refused, with the numbers and the way on", async () => {
  const { questions, error } = await asked(surveyed(4), undefined);
  assert.deepEqual(questions, []);
  assert.match(error!.message, /no terminal is attached: sign everybody out; 4 of 7 people/);
  assert.match(error!.hint!, /--yes/);
});
