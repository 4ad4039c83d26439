import { test } from "node:test";
import { checkCommand } from "../../../src/delegation/typed-commands.ts";
import { MigrationError } from "../../../src/errors.ts";
import { describeOpened } from "../../../src/move/open/result-text.ts";
import type { OpenResult } from "../../../src/move/open/run.ts";
import { matchesGolden } from "../../report/golden.ts";

const OPENED = {
  kind: "opened",
  findings: [],
  serverName: "example.org",
  rehearsal: false,
  started: true,
  configPaths: ["/etc/matrix-synapse/homeserver.yaml", "/etc/matrix-synapse/conf.d"],
  outageSeconds: 754,
  report: "/etc/matrix-synapse/.synlift/report.html",
  check: checkCommand({
    serverName: "example.org",
    clientUrl: "https://matrix.example.org",
    federation: undefined,
    keys: [{ id: "ed25519:a_EUHY", publicKey: "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg" }],
  }),
} satisfies OpenResult;

const RESULTS: Readonly<Record<string, OpenResult>> = {
  "a gate does not pass": {
    kind: "blocked",
    findings: [],
    failure: new MigrationError("gate-failed", "a gate did not pass: signing-key"),
  },
  "a dry run": { kind: "dry-run", findings: [] },
  "a trial": {
    kind: "trial",
    findings: [],
    failure: undefined,
    serverName: "example.org",
    url: "http://127.0.0.1:18008",
    stop: "kill 4711",
  },
  opened: OPENED,
  "opened, started by a person": { ...OPENED, started: false, outageSeconds: undefined },
  "a rehearsal": { ...OPENED, rehearsal: true },
};

test("each outcome of open has its sentences", () => {
  matchesGolden(
    "open-results.txt",
    Object.entries(RESULTS)
      .map(([name, result]) => [`# ${name}`, ...describeOpened(result)].join("\n"))
      .join("\n\n") + "\n",
  );
});
