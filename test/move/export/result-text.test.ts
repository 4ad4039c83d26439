import { test } from "node:test";
import type { Manifest } from "../../../src/bundle/manifest.ts";
import { describeExport, exportDetails } from "../../../src/move/export/result-text.ts";
import type { ExportResult } from "../../../src/move/export/run.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const hash = "0".repeat(64);
const part = { name: "customer_db_export.sql.gz.gpg", size: 3 * 1024 ** 2, sha256: hash };

const MANIFEST: Manifest = {
  format: "synlift-bundle",
  version: 1,
  id: "a-bundle",
  created: "2026-11-02T02:00:00.000Z",
  sealed: "2026-11-02T02:05:00.000Z",
  program: "synlift",
  subject: "old.example",
  rehearsal: false,
  outageSince: "2026-11-02T02:01:00.000Z",
  encryption: "openpgp-passphrase",
  artifacts: [{ ...part, format: "sql", parts: [part] }],
  inventory: { name: "inventory.json.gpg", size: 900, sha256: hash },
};

const folder = "/srv/the move";
const report = `${folder}/report.html`;
const note = { id: "already-sealed", level: "note" as const, sentence: `${folder} was not changed` };

const OUTCOMES: Readonly<Record<string, ExportResult>> = {
  sealed: { kind: "sealed", folder, manifest: MANIFEST, findings: [], report, sentTo: undefined },
  "sent-to": {
    kind: "sealed",
    folder,
    manifest: MANIFEST,
    findings: [],
    report,
    sentTo: "sftp://new.example.org/srv/move",
  },
  rehearsed: {
    kind: "sealed",
    folder,
    manifest: { ...MANIFEST, rehearsal: true, outageSince: null },
    findings: [],
    report,
    sentTo: undefined,
  },
  "already-sealed": {
    kind: "already-sealed",
    folder,
    manifest: { ...MANIFEST, recipients: ["A".repeat(40)] },
    findings: [note],
    report,
    sentTo: undefined,
  },
  "dry-run": { kind: "dry-run", folder, findings: [], wouldDo: ["systemctl stop matrix-synapse.service"] },
};

for (const [name, result] of Object.entries(OUTCOMES))
  test(`an export that ends as "${name}" reads as it should`, () => {
    const { findings } = result;
    matchesGolden(
      `export-${name}.txt`,
      outcomeText({ findings, details: exportDetails(result), lines: describeExport(result) }),
    );
  });
