import { test } from "node:test";
import type { PullResult } from "../../../src/move/direct/pull.ts";
import { describePull } from "../../../src/move/direct/result-text.ts";
import { matchesGolden } from "../../report/golden.ts";

const OUTCOMES: Record<string, PullResult> = {
  "dry-run": {
    kind: "dry-run",
    findings: [],
    compose: false,
    steps: [
      "on the old host: its database, 1.2 GB, is sent",
      "on this host: the configuration and the signing key are written to /etc/matrix-synapse, fenced until synlift open",
    ],
  },
  "dry-run-compose": { kind: "dry-run", findings: [], compose: true, steps: [] },
  restored: {
    kind: "restored",
    findings: [],
    server: {
      id: "0b0e",
      serverName: "example.org",
      databases: [{ engine: "postgres", address: { parameters: { dbname: "synapse", host: "127.0.0.1" } } }],
      configDir: "/etc/matrix-synapse",
      mediaDir: "/var/lib/matrix-synapse/media",
      masConfigPaths: [],
    },
  },
};

for (const [name, result] of Object.entries(OUTCOMES))
  test(`the text of a direct transfer: ${name}`, () => {
    matchesGolden(`direct-${name}.txt`, `${describePull(result).join("\n")}\n`);
  });
