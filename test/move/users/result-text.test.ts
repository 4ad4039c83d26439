import { test } from "node:test";
import { campaignOf } from "../../../src/homeserver/people/notices/campaign.ts";
import { deliveryFinding, type NoticeDelivery } from "../../../src/homeserver/people/notices/deliver.ts";
import { PeopleList } from "../../../src/homeserver/people/people-list.ts";
import { usersDetails, usersLines, type UsersResult } from "../../../src/homeserver/people/result.ts";
import { PeopleTally } from "../../../src/homeserver/people/tally.ts";
import { matchesGolden } from "../../report/golden.ts";
import { outcomeText } from "../../support/outcome-text.ts";

const SURVEYED: UsersResult = {
  serverName: "example.org",
  tally: new PeopleTally(0, 90),
  roll: new PeopleList(false),
  everybody: false,
  csv: undefined,
  announced: undefined,
  delivery: undefined,
};

const DELIVERY: NoticeDelivery = {
  campaign: campaignOf("The server moves.\nPlease store your keys."),
  recipients: 3,
  before: 1,
  dryRun: false,
  seconds: 1,
  sent: 2,
  unsent: [],
  stopped: undefined,
};

const OUTCOMES: Readonly<Record<string, UsersResult>> = {
  surveyed: {
    ...SURVEYED,
    csv: "/root/people.csv",
    announced: {
      atRisk: "",
      paths: ["/root/move/for-everybody.txt", "/root/move/for-those-at-risk.txt"],
      kept: ["/root/move/for-everybody.txt"],
      dryRun: false,
    },
  },
  "would-notify": { ...SURVEYED, delivery: { ...DELIVERY, dryRun: true, sent: 0 } },
  notified: { ...SURVEYED, delivery: DELIVERY },
  "partly-notified": {
    ...SURVEYED,
    delivery: { ...DELIVERY, sent: 1, stopped: "the server does not answer" },
  },
};

for (const [name, result] of Object.entries(OUTCOMES))
  test(`a survey that ends as "${name}" reads as it should`, () => {
    matchesGolden(
      `users-${name}.txt`,
      outcomeText({
        findings: result.delivery ? [deliveryFinding(result.delivery)] : [],
        details: usersDetails(result),
        lines: usersLines(result, { columns: 80, colour: false }),
      }),
    );
  });
