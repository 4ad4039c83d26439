import { formatBytes } from "../../../report/units.ts";
import { majorOf } from "../facts.ts";
import type { Access, SourceFacts, TargetFacts } from "./facts.ts";
import { describeRule, neededLine, takesPassword } from "./hba.ts";
import { FOLLOW_ROLE, type NewFollowChange, type Road, ROADS } from "./record.ts";

type NewSetting = Extract<NewFollowChange, { kind: "setting" }>;

/** Whether a road fits, and what it changes on the old host. */
export interface RoadJudgement {
  readonly road: Road;
  /** Why it does not fit, a sentence each; empty where it does. */
  readonly reasons: readonly string[];
  /** The settings to change, in this order. */
  readonly settings: readonly NewSetting[];
  /** Whether PostgreSQL has to be restarted for one of them. */
  readonly needsRestart: boolean;
  /** Whether a replication slot holds the log; below PostgreSQL 13 nothing limits one, and none is made. */
  readonly hasSlot: boolean;
  /** Bytes of the log that are kept for a copy that does not come. */
  readonly keeps: number;
  /** Where the tunnel ends; undefined where no place lets the role in. */
  readonly access: Access | undefined;
  /** All changes in words, a line each. */
  readonly changes: readonly string[];
}

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** With less, a copy would be lost in a busy hour. */
const LEAST_KEPT = 512 * MIB;
/** Below PostgreSQL 13 this much of the log is always there, whether a copy needs it or not. */
const MOST_SEGMENTS = 32 * GIB;
/** The first with pg_promote() and standby.signal. */
const FIRST_STANDBY = 12;
/** The first whose slots can be limited. */
const FIRST_LIMIT = 13;
/** The first whose subscriber uses an index for a table without a key (PostgreSQL 16, Logical Replication). */
const FIRST_SUBSCRIBER = 16;

/**
 * Judges both roads. Without the facts of a target, what depends on it is left open. Pure: the same facts give the same
 * judgement, so that what was shown is what is done.
 */
export function judgeRoads(
  source: SourceFacts,
  target: TargetFacts | undefined,
): Readonly<Record<Road, RoadJudgement>> {
  const [standby, logical] = ROADS.map((road) => judge(road, source, target));
  return { standby: standby!, logical: logical! };
}

function judge(road: Road, source: SourceFacts, target: TargetFacts | undefined): RoadJudgement {
  const limit = limitOf(source);
  const needsRestart = needsRestartFor(road, source);
  // It may run with it and not start with it again: an earlier follow was undone. With a logical slot it would not start at all.
  const isKept = (source.nextStart?.walLevel ?? "logical") === "logical";
  const settings = [
    ...(limit.setting ? [limit.setting] : []),
    ...(road === "logical" && (needsRestart || !isKept)
      ? [settingChange(source, "wal_level", "logical", needsRestart)]
      : []),
  ];
  const access = source.access.find((one) => letsIn(one, road));
  const reasons = [
    ...(road === "standby" ? standbyReasons(source, target) : logicalReasons(source, target)),
    ...commonReasons(source),
    ...(source.administrator.isSuperuser ? limit.reasons : []),
    ...settings.flatMap((setting) => settingReasons(source, setting)),
    ...(needsRestart ? restartReasons(source) : []),
    ...(source.administrator.isSuperuser && !access ? [accessReason(source, road)] : []),
  ];
  const hasSlot = majorOf(source.version) >= FIRST_LIMIT;
  return {
    road,
    reasons,
    settings,
    needsRestart,
    hasSlot,
    keeps: limit.keeps,
    access,
    changes: changesOf(road, source, { settings, hasSlot, keeps: limit.keeps }),
  };
}

/** Whether the old PostgreSQL has to be restarted once, and somebody to agree to that. */
export const needsRestartFor = (road: Road, source: SourceFacts): boolean =>
  road === "logical" && settingOf(source, "wal_level") !== "logical";

function standbyReasons(source: SourceFacts, target: TargetFacts | undefined): string[] {
  const major = majorOf(source.version);
  const reasons: string[] = [];
  if (major < FIRST_STANDBY)
    reasons.push(`PostgreSQL ${major} is too old: a standby is promoted with a function of ${FIRST_STANDBY}`);
  if (settingOf(source, "wal_level") === "minimal")
    reasons.push("wal_level is minimal: set it to replica, and restart PostgreSQL");
  if (source.tablespaces.length > 0)
    reasons.push(
      `it has tablespaces outside its data folder: ${source.tablespaces.map(({ name, folder }) => `${name} in ${folder}`).join(", ")}`,
    );
  if (target) {
    if (source.architecture !== null && source.architecture !== target.architecture)
      reasons.push(
        `the old host is ${source.architecture} and the new one ${target.architecture}: files of one cannot be read on the other`,
      );
    if (!target.serverMajors.includes(major))
      reasons.push(
        `the new host has no server of PostgreSQL ${major}, and a standby must have the same major version: install it there (Debian: apt-get install postgresql-${major})`,
      );
  }
  return reasons;
}

function logicalReasons(source: SourceFacts, target: TargetFacts | undefined): string[] {
  const major = majorOf(source.version);
  const reasons: string[] = [];
  if (major < FIRST_LIMIT)
    reasons.push(
      `PostgreSQL ${major} cannot limit what a replication slot keeps (max_slot_wal_keep_size came with ${FIRST_LIMIT}): a slot that nobody reads could fill the old host's disk`,
    );
  if (source.stateDatabase !== null)
    reasons.push("state groups have a database of their own, and logical replication follows one database");
  if (source.masDatabase !== null)
    reasons.push(
      `the authentication service has the database ${source.masDatabase} on the same server, and logical replication follows one database`,
    );
  if (source.schemaVersion === null) reasons.push(`${source.database} is not a Synapse database`);
  if (source.backgroundUpdates > 0)
    reasons.push(
      `Synapse still has ${source.backgroundUpdates} background ${source.backgroundUpdates === 1 ? "update" : "updates"} to do, which change tables: wait until they are done`,
    );
  if (target?.server === null)
    reasons.push("no database server of the new host is named to replicate into: --database");
  if (target?.server) {
    const into = majorOf(target.server.version);
    if (into < FIRST_SUBSCRIBER)
      reasons.push(
        `the new host has PostgreSQL ${into}: for tables without a key, each change would read the whole table below ${FIRST_SUBSCRIBER}`,
      );
    if (into < major) reasons.push(`the new host has PostgreSQL ${into}, older than the old host's ${major}`);
    if (!target.server.isSuperuser)
      reasons.push("on the new host no superuser of PostgreSQL is at hand, who creates the subscription");
  }
  return reasons;
}

function commonReasons(source: SourceFacts): string[] {
  const { administrator, recovering, role } = source;
  const reasons: string[] = [];
  for (const other of source.elsewhere)
    reasons.push(`${other} is in another PostgreSQL, which a copy of this one does not have`);
  if (recovering) reasons.push("the old PostgreSQL is itself a standby: follow its primary");
  if (!administrator.isSuperuser)
    reasons.push(
      `PostgreSQL's user ${administrator.name} is no superuser, who is needed for the replication role and for the limit on what a copy may keep back: name one: --source-command 'synlift follow-source --admin-database "…"' of synlift follow`,
    );
  if (role && role.comment?.startsWith("made by synlift follow ") !== true)
    reasons.push(`there is a role ${FOLLOW_ROLE} that synlift did not make: rename it, or drop it`);
  const synchronous = settingOf(source, "synchronous_standby_names") ?? "";
  if (synchronous.includes("*"))
    reasons.push(
      `synchronous_standby_names is ${synchronous}: every commit could wait for a copy that is far away; name the standbys there instead`,
    );
  const senders = Number(settingOf(source, "max_wal_senders") ?? 0) - source.walSenders;
  if (senders < NEEDED_SENDERS)
    reasons.push(
      `max_wal_senders leaves ${Math.max(0, senders)} of ${NEEDED_SENDERS} connections that a copy needs: raise it, and restart PostgreSQL`,
    );
  const slots = Number(settingOf(source, "max_replication_slots") ?? 0) - source.slots.length;
  if (slots < 1)
    reasons.push("max_replication_slots leaves none for a copy: raise it, and restart PostgreSQL");
  return reasons;
}

/** pg_basebackup uses two, and so does a logical copy while it begins. */
const NEEDED_SENDERS = 2;

interface Limit {
  readonly setting?: NewSetting;
  readonly keeps: number;
  readonly reasons: readonly string[];
}

/** What keeps a copy that does not come from filling the disk: at most half of what is free on it. */
function limitOf(source: SourceFacts): Limit {
  const hasSlots = majorOf(source.version) >= FIRST_LIMIT;
  const name = hasSlots ? "max_slot_wal_keep_size" : "wal_keep_segments";
  const unit = hasSlots ? MIB : segmentBytes(source);
  const now = Number(settingOf(source, name) ?? (hasSlots ? -1 : 0));
  const own = now > 0 || (hasSlots && now === 0) ? now * unit : undefined;
  const free = source.disk?.free;
  if (free === undefined) {
    if (own !== undefined && own >= LEAST_KEPT) return { keeps: own, reasons: [] };
    return {
      keeps: 0,
      reasons: [
        `how much is free on the disk of PostgreSQL's log cannot be seen from here: set ${name} yourself, to at most half of that (ALTER SYSTEM SET ${name} = …, then SELECT pg_reload_conf())`,
      ],
    };
  }
  const most = hasSlots ? free / 2 : Math.min(free / 4, MOST_SEGMENTS);
  // What the administrator has limited further, or keeps anyway, stays.
  if (own !== undefined && (hasSlots ? own <= most : own >= LEAST_KEPT && own <= free / 2)) {
    const tooLow = own < LEAST_KEPT;
    return {
      keeps: own,
      reasons: tooLow
        ? [`${name} is ${formatBytes(own)}, with which a copy would be lost in a busy hour: raise it`]
        : [],
    };
  }
  const units = Math.floor(most / unit);
  const keeps = units * unit;
  const reasons =
    keeps < LEAST_KEPT
      ? [
          `the disk with ${source.disk?.folder ?? "PostgreSQL's log"} has only ${formatBytes(free)} free: a copy may keep back ${hasSlots ? "half" : "a quarter"} of that, and needs at least ${formatBytes(LEAST_KEPT)}`,
        ]
      : [];
  const behind = hasSlots ? source.slots.filter(({ retained }) => (retained ?? 0) > keeps / 2) : [];
  for (const { name: slot, retained } of behind)
    reasons.push(
      `the replication slot ${slot} already keeps ${formatBytes(retained ?? 0)} of the log, and the limit for all slots would be ${formatBytes(keeps)}: take it away if nobody needs it, or let its reader catch up`,
    );
  return { setting: settingChange(source, name, String(units), false), keeps, reasons };
}

/** What a setting of the limit is in bytes. */
export const bytesOfSetting = (source: SourceFacts, name: string, value: string): number =>
  Number(value) * (name === "wal_keep_segments" ? segmentBytes(source) : MIB);

const segmentBytes = (source: SourceFacts) => Number(settingOf(source, "wal_segment_size") ?? 16 * MIB);

const settingOf = ({ settings }: SourceFacts, name: string) => settings[name]?.value;

const settingChange = (
  { autoConf }: SourceFacts,
  name: string,
  after: string,
  needsRestart: boolean,
): NewSetting => ({ kind: "setting", name, before: autoConf[name] ?? null, after, needsRestart });

/** What ALTER SYSTEM writes has no effect on what PostgreSQL is started with. */
function settingReasons(source: SourceFacts, { name }: NewSetting): string[] {
  if (settingOf(source, "allow_alter_system") === "off")
    return [
      `${name} has to be changed, and allow_alter_system is off: something else manages PostgreSQL's settings`,
    ];
  if (source.settings[name]?.source === "command line")
    return [
      `${name} has to be changed, and PostgreSQL is started with it on its command line: change it there`,
    ];
  return [];
}

/** People would be without their server: what keeps PostgreSQL from starting again is known beforehand. */
function restartReasons({ nextStart }: SourceFacts): string[] {
  const unreadable = nextStart?.unreadable ?? [];
  if (unreadable.length === 0) return [];
  return [
    `wal_level needs a restart of PostgreSQL, and it would not start again: it cannot read its configuration, ${unreadable.join(", ")}`,
  ];
}

const letsIn = ({ databases, replication }: Access, road: Road) =>
  takesPassword(databases) && (road === "logical" || takesPassword(replication));

function accessReason(source: SourceFacts, road: Road): string {
  const [best] = source.access;
  if (!best)
    return "no address of PostgreSQL is known to which OpenSSH on the old host could forward: let it listen on 127.0.0.1 (listen_addresses; of a container: publish its port there), and name it: --source-command 'synlift follow-source --database-server \"…\"' of synlift follow";
  const names = [source.database, source.stateDatabase, source.masDatabase].flatMap((name) => name ?? []);
  const lacks = [
    ...(takesPassword(best.databases) ? [] : names),
    ...(road === "logical" || takesPassword(best.replication) ? [] : ["replication"]),
  ];
  const deciding = [best.databases, best.replication].find((rule) => rule && !takesPassword(rule));
  const why = deciding ? `there, ${describeRule(deciding)} decides` : "no line there matches";
  return `${source.hbaFile} does not let ${FOLLOW_ROLE} in with a password, as ${why}: add above it "${neededLine(best, lacks)}", then SELECT pg_reload_conf()`;
}

function changesOf(
  road: Road,
  source: SourceFacts,
  { settings, hasSlot, keeps }: Pick<RoadJudgement, "settings" | "hasSlot" | "keeps">,
): string[] {
  const inWords = settings.map(({ name, after, needsRestart }) =>
    needsRestart
      ? `${name} = ${after}, with one restart of PostgreSQL (${restartWords(source)})`
      : name === "wal_level"
        ? `${name} = ${after}, which it runs with already, also for its next start`
        : `${name} = ${describeSize(name, after, source)}`,
  );
  const limited = settings.some(({ name }) => name !== "wal_level")
    ? []
    : [`nothing for the limit of ${formatBytes(keeps)}, which is set already`];
  return [
    ...inWords,
    ...limited,
    `a role ${FOLLOW_ROLE} that may replicate and read`,
    ...(hasSlot ? ["a replication slot"] : []),
    ...(road === "logical"
      ? ["a replica identity for each table without a primary key, and a publication of Synapse's tables"]
      : []),
  ];
}

/** Which unit, how long, and what else takes effect with it. */
function restartWords({ nextStart }: SourceFacts): string {
  const others = (nextStart?.pending ?? []).filter((name) => name !== "wal_level");
  return [
    nextStart?.unit === null
      ? "by you, as no systemd unit of it was found; seconds, in which Synapse reconnects"
      : `${nextStart?.unit === undefined ? "" : `systemctl restart ${nextStart.unit}; `}seconds, in which Synapse reconnects`,
    ...(others.length === 0
      ? []
      : [`settings that wait for a restart take effect, too: ${others.join(", ")}`]),
  ].join("; ");
}

const describeSize = (name: string, after: string, source: SourceFacts) =>
  `${after} (${formatBytes(bytesOfSetting(source, name, after))})`;
