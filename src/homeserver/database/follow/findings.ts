import type { Finding } from "../../../report/finding.ts";
import { formatBytes } from "../../../report/units.ts";
import { majorOf } from "../facts.ts";
import type { SourceFacts } from "./facts.ts";
import type { Road } from "./record.ts";
import type { RoadJudgement } from "./roads.ts";

/**
 * Which kind of replication fits, why the other does not, and what would be changed on the old host. `outage` says in words how long
 * the outage would be; undefined where that is not known.
 */
export function roadFindings(
  source: SourceFacts,
  roads: Readonly<Record<Road, RoadJudgement>>,
  outage?: string,
): Finding[] {
  const best = bestRoad(roads);
  return [roads.standby, roads.logical].map((judged) => {
    const { road, reasons } = judged;
    const id = road === "standby" ? "follow-standby" : "follow-logical";
    if (reasons.length > 0)
      return {
        id,
        level: "note",
        sentence: `the database cannot be followed by ${WORDS[road]}`,
        evidence: [...reasons],
        hint: "follow is a choice: without it the database is dumped and restored while the server is down",
      };
    return {
      id,
      level: "ok",
      sentence: `the database can be followed by ${WORDS[road]}: the new host needs ${needs(road, source)}`,
      evidence: [
        ...(road === best && outage !== undefined ? [outage] : []),
        ...judged.changes.map((line) => `changed on the old host, and undone afterwards: ${line}`),
        limitLine(judged),
      ],
    };
  });
}

const WORDS: Readonly<Record<Road, string>> = {
  standby: "physical replication (standby)",
  logical: "logical replication",
};

/** The standby, where both fit: it needs no restart and takes everything along. */
export function bestRoad(roads: Readonly<Record<Road, RoadJudgement>>): Road | undefined {
  return (["standby", "logical"] as const).find((road) => roads[road].reasons.length === 0);
}

function needs(road: Road, { version, architecture }: SourceFacts): string {
  const major = majorOf(version);
  return road === "standby"
    ? `PostgreSQL ${major}${architecture === null ? "" : ` on ${architecture}`}`
    : `PostgreSQL ${Math.max(16, major)} or newer`;
}

function limitLine({ keeps, hasSlot, settings }: RoadJudgement): string {
  const bytes = formatBytes(keeps);
  if (hasSlot)
    return `at most ${bytes} of PostgreSQL's log are kept for a copy that does not come; after that the copy is lost and has to be begun again, and the old server goes on`;
  const always = settings.length > 0 ? "from then on " : "";
  return `PostgreSQL below 13 cannot limit a slot, so none is made: ${always}${bytes} of its log are always kept (wal_keep_segments), and a copy that is further behind has to be begun again`;
}

/** What the whole of PostgreSQL has that a standby takes along, or that its new host has to do. */
export function standbyFindings(source: SourceFacts): Finding[] {
  return [...otherDatabases(source), ...collations(source)];
}

function otherDatabases({ databases, database, stateDatabase, masDatabase }: SourceFacts): Finding[] {
  const own = [database, stateDatabase, masDatabase, "postgres"];
  const others = databases.filter(({ name }) => !own.includes(name));
  if (others.length === 0) return [];
  return [
    {
      id: "follow-other-databases",
      level: "note",
      sentence: `a standby takes along all databases of this PostgreSQL, also ${others.length === 1 ? "one" : others.length} that ${others.length === 1 ? "is" : "are"} not of this homeserver`,
      evidence: others.map(({ name, bytes }) => `${name}, ${formatBytes(bytes)}`),
      hint: "drop them on the new host after the move if they are not wanted there; what is written to them on the old host after the cut-over is not on the new one",
    },
  ];
}

/** Only what the C library sorts depends on its version, and C does not. */
function collations({ databases }: SourceFacts): Finding[] {
  const sorted = databases.filter(
    ({ name, collate, provider }) =>
      name !== "postgres" && provider !== "b" && !/^(?:C|POSIX|C\.UTF-?8)$/i.test(collate),
  );
  if (sorted.length === 0) return [];
  return [
    {
      id: "follow-collation",
      level: "note",
      sentence: `a standby has the indexes as the old host's C library sorts them: ${sorted.map(({ name }) => name).join(", ")}`,
      evidence: sorted.map(
        ({ name, collate, collationVersion }) =>
          `${name}: ${collate}${collationVersion === null ? "" : `, version ${collationVersion}`}`,
      ),
      hint: "if the new host has another version of it: REINDEX DATABASE … after the cut-over. Synapse's own database is not affected when it is in C, as Synapse demands",
    },
  ];
}
