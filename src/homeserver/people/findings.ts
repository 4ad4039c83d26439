import type { Finding } from "../../report/finding.ts";
import { formatCount } from "../../report/units.ts";
import type { Settings } from "../homeserver.ts";
import { settingAt } from "../settings.ts";
import { describeReadiness, formatCounted, formatDay } from "./describe.ts";
import type { Person } from "./person.ts";
import type { PeopleCounts, PeopleTally } from "./tally.ts";

/** What there is to say about the people of a server, once all were counted. Warns of those who could lose messages. */
export function peopleFindings(tally: PeopleTally, serverName: string, settings: Settings): Finding[] {
  const { counts } = tally;
  return [
    accountsFinding(counts, serverName),
    atRiskFinding(tally),
    ...notes(counts),
    ...(tally.coverageDays === null && counts.ready + counts.partial > 0
      ? [
          {
            id: "people-coverage",
            level: "note" as const,
            sentence: "whether the key backups are up to date was not measured",
            hint: "synlift users measures it: it reads the encrypted events of the last 90 days",
          },
        ]
      : []),
    ...masFindings(settings),
  ];
}

function accountsFinding(counts: PeopleCounts, serverName: string): Finding {
  const apart = describeOtherAccounts(counts);
  return {
    id: "people",
    level: "ok",
    sentence: `${serverName} has ${formatCounted(counts.people, "person", "people")}, ${formatCount(counts.active)} of them seen in the last 30 days`,
    ...(apart === "" ? {} : { evidence: [`apart from them ${apart}`] }),
  };
}

/** "3 guests, 12 deactivated accounts"; empty when there is nobody but people. */
export function describeOtherAccounts(counts: PeopleCounts): string {
  const { guests, bots, support, appservice, deactivated } = counts;
  const all: [number, string, string?][] = [
    [guests, "guest"],
    [bots, "bot"],
    [support, "support account"],
    [appservice, "account of a bridge or service", "accounts of bridges and services"],
    [deactivated, "deactivated account"],
  ];
  return all
    .filter(([count]) => count > 0)
    .map(([count, one, many]) => formatCounted(count, one, many))
    .join(", ");
}

function atRiskFinding({ counts, examples, coverageDays }: PeopleTally): Finding {
  const { atRisk, people, none, partial, optedOut } = counts;
  if (atRisk === 0) {
    return {
      id: "people-ready",
      level: "ok",
      sentence: `nobody would lose encrypted messages by having to sign in again${coverageDays === null ? ", as far as was checked" : ""}`,
    };
  }
  const kinds: [number, string][] = [
    [none, "without a key backup"],
    [partial, "with one that is not enough"],
    [optedOut, "who switched it off"],
  ];
  const parts = kinds.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`);
  return {
    id: "people-at-risk",
    level: "warning",
    sentence: `${formatCount(atRisk)} of ${formatCounted(people, "person", "people")} would lose encrypted messages if they had to sign in again: ${parts.join(", ")}`,
    evidence: examples.map(exampleOf),
    hint: "nobody signs in again as long as their address and the database come along: keep the address, or forward the old one; tell these people before: synlift users --announce",
  };
}

function exampleOf(person: Person): string {
  const seen = person.lastSeen === null ? "never seen" : `seen ${formatDay(person.lastSeen)}`;
  return `${person.userId}: ${describeReadiness(person)}, ${formatCounted(person.encryptingDevices, "device")}, ${seen}`;
}

function notes(counts: PeopleCounts): Finding[] {
  const { optedOut, atRiskSingleDevice, withoutCrossSigning, dehydrated } = counts;
  const all: [number, Omit<Finding, "level">][] = [
    [
      optedOut,
      {
        id: "people-opted-out",
        sentence: `${formatCounted(optedOut, "person", "people")} told their app to keep no key backup`,
        hint: "respect this choice, and tell them that they can export their keys to a file to keep old messages",
      },
    ],
    [
      atRiskSingleDevice,
      {
        id: "people-single-device",
        sentence: `${formatCount(atRiskSingleDevice)} of those at risk ${atRiskSingleDevice === 1 ? "has" : "have"} their keys on one device alone`,
        hint: "tell them first: they have no other device that could share the keys",
      },
    ],
    [
      withoutCrossSigning,
      {
        id: "people-without-cross-signing",
        sentence: `${formatCounted(withoutCrossSigning, "person", "people")} in encrypted rooms ${withoutCrossSigning === 1 ? "has" : "have"} no cross-signing`,
        hint: "others would see a new, unverified device of theirs after they signed in again",
      },
    ],
    [
      dehydrated,
      {
        id: "people-dehydrated-device",
        sentence: `${formatCounted(dehydrated, "account")} ${dehydrated === 1 ? "has" : "have"} a dehydrated device, which receives keys while they are away`,
        hint: "keep experimental_features.msc3814_enabled on the new server, else these keys are not delivered",
      },
    ],
  ];
  return all.filter(([count]) => count > 0).map(([, finding]) => ({ level: "note", ...finding }));
}

/** With Matrix Authentication Service, log-ins are in its database; keys and backups stay in Synapse's. */
function masFindings(settings: Settings): Finding[] {
  const setting = ["matrix_authentication_service", "experimental_features.msc3861"].find(
    (name) => settingAt(settings, `${name}.enabled`) === true,
  );
  if (setting === undefined) return [];
  return [
    {
      id: "people-mas",
      level: "note",
      sentence: `log-ins are kept by Matrix Authentication Service (${setting}), not in this database`,
      hint: "the findings on key backups still apply; sign people out there: mas-cli manage kill-sessions",
    },
  ];
}
