import { test } from "node:test";
import type { Manifest } from "../../../src/bundle/manifest.ts";
import type { FetchResult } from "../../../src/move/carry/fetch.ts";
import {
  describeFetch,
  describeSend,
  fetchDetails,
  fetchFindings,
  sendDetails,
  sendFindings,
} from "../../../src/move/carry/result-text.ts";
import type { SendResult } from "../../../src/move/carry/send.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const sha256 = "0".repeat(64);
const part = { name: "customer_db_export.sql.gz.gpg", size: 3 * 1024 ** 2, sha256 };
const MANIFEST: Manifest = {
  format: "synlift-bundle",
  version: 1,
  id: "a-bundle",
  created: "2026-11-02T02:00:00.000Z",
  program: "synlift",
  subject: "old.example",
  rehearsal: false,
  outageSince: null,
  encryption: "openpgp-passphrase",
  artifacts: [{ ...part, format: "sql", parts: [part] }],
  inventory: { name: "inventory.json.gpg", size: 900, sha256 },
};

const local = { ...part, path: `/srv/move/${part.name}` };
const sent: SendResult = {
  kind: "sent",
  address: "https://upload.provider.example (old.example)",
  manifest: MANIFEST,
  files: 5,
  bytes: 3 * 1024 ** 2 + 9000,
  due: [local],
  seconds: 95,
  proofs: { "hashed-there": 4, "read-back": 1 },
  findings: [],
};
const fetched: FetchResult = {
  kind: "fetched",
  address: "rclone:drive:moves/old.example",
  folder: "/srv/the move",
  manifest: MANIFEST,
  files: 2,
  bytes: 3 * 1024 ** 2 + 900,
  due: [part],
  seconds: 3,
  findings: [],
};

const OUTCOMES = {
  "send-sent": sent,
  "send-nothing-left": { ...sent, due: [], seconds: 0 },
  "send-dry-run": { ...sent, kind: "dry-run", seconds: 0, proofs: {} },
} satisfies Record<string, SendResult>;

for (const [name, result] of Object.entries(OUTCOMES))
  test(`what people and scripts get when a bundle is sent: ${name}`, () => {
    const text = outcomeText({
      findings: sendFindings(result),
      details: sendDetails(result),
      lines: describeSend(result),
    });
    matchesGolden(`${name}.txt`, text);
  });

for (const [name, result] of Object.entries({
  "fetch-fetched": fetched,
  "fetch-dry-run": { ...fetched, kind: "dry-run", seconds: 0 },
} satisfies Record<string, FetchResult>))
  test(`what people and scripts get when a bundle is fetched: ${name}`, () => {
    const text = outcomeText({
      findings: fetchFindings(result),
      details: fetchDetails(result),
      lines: describeFetch(result),
    });
    matchesGolden(`${name}.txt`, text);
  });
