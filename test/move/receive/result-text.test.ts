import { test } from "node:test";
import {
  inviteDetails,
  inviteLines,
  receiveDetails,
  receiveLines,
} from "../../../src/move/receive/result-text.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

test("what people and scripts get when a customer was invited", () => {
  const result = {
    folder: "/srv/incoming",
    name: "example.org",
    url: "https://upload.provider.example",
    out: "/root/example.org.invitation",
    days: 14,
    limit: 500 * 1024 ** 3,
    expires: "2026-11-16T02:00:00.000Z",
  };
  matchesGolden(
    "invite-invited.txt",
    outcomeText({ findings: [], details: inviteDetails(result), lines: inviteLines(result) }),
  );
});

test("what people and scripts get when a server for bundles has ended", () => {
  const result = { endpoint: "https://0.0.0.0:443", bundles: 3, served: 7_384_000 };
  matchesGolden(
    "receive-ended.txt",
    outcomeText({ findings: [], details: receiveDetails(result), lines: receiveLines(result) }),
  );
});
