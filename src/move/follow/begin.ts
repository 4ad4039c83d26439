import { MigrationError, tryRead } from "../../errors.ts";
import { assertPortFree } from "../../homeserver/database/follow/standby-port.ts";
import { changePort } from "../../homeserver/database/follow/set-up-standby.ts";
import { assertStartable, isComplete, isRunning } from "../../homeserver/database/follow/standby-server.ts";
import { FOLLOW_ROLE, type Road, slotNameOf } from "../../homeserver/database/follow/record.ts";
import { judgeRoads, needsRestartFor } from "../../homeserver/database/follow/roads.ts";
import { serverPrograms } from "../../homeserver/database/follow/server-programs.ts";
import { majorOf } from "../../homeserver/database/facts.ts";
import { describeWarnings, type Finding } from "../../report/finding.ts";
import { formatBytes } from "../../report/units.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import type { OldHost } from "../connect.ts";
import { assertDiskSpace } from "../disk-space.ts";
import { askSource } from "./ask-source.ts";
import { chooseStandby } from "./choose-standby.ts";
import type { FollowAnswers } from "./protocol.ts";
import { chooseLogical, describeCopy, type NewLogicalCopy, serverFacts } from "./logical/choose.ts";
import { mediaLines, type MediaPlan, mediaPlanOf } from "./media/plan.ts";
import { readMediaRecord, writeMediaRecord } from "./media/record.ts";
import { assertRoomForMedia, nearestFolder } from "./media/room.ts";
import { settleMedia } from "./media/settle.ts";
import type { FollowOrder } from "./order.ts";
import { type FollowState, newFollowState, oldHostOf, passwordFilePath, writeFollowState } from "./state.ts";
import { tunnelFolder } from "./tunnel.ts";

/** What copies and follows is settled, and the old host is prepared. */
export interface Begun {
  readonly kind: "begun";
  readonly state: FollowState;
  readonly findings: readonly Finding[];
}

export interface WouldBegin {
  readonly kind: "dry-run";
  readonly findings: readonly Finding[];
  readonly lines: readonly string[];
}

/** A copy needs more than the databases: the log that is written meanwhile, and room to be a server. */
const ROOM = 1024 * 1024 * 1024;
const GROWTH = 1.1;

/**
 * Settles where the copy will be, asks once, and has the old host prepared. Goes on with what was begun: then nothing is asked. Throws
 * `bad-usage`, `bundle-mismatch`, `already-opened`, `follow-impossible`, `disk-full`, and what the old host refuses.
 */
export async function prepareFollow(
  order: FollowOrder,
  begun: FollowState | undefined,
  system: System,
  progress: Progress,
): Promise<Begun | WouldBegin> {
  assertSame(order, begun);
  const before = begun && (await withPort(begun, order, system));
  if (before && before.stage !== "preparing") return goOn(order, before, system);
  const old = order.old ?? (before && oldHostOf(before));
  if (!old)
    throw new MigrationError("bad-usage", "give the address of the old host: ssh://[user@]host[:port]", {
      hint: `nothing was begun yet with --config-dir ${order.configDir}`,
    });
  const media = await settledMedia(order, before !== undefined, system);
  const target = await targetFacts(order, before?.here, system);
  const facts = await askSource(old, { type: "facts", target, media: media !== undefined }, system, progress);
  const ofMedia = media && mediaPlanOf(media, facts);
  const road = before?.road ?? chooseRoad(order, facts);
  const { source } = facts;
  const here = before?.here ?? (await choosePlace(road, order, facts, system));
  if (!before) assertPossible(road, facts);
  const lacksConsent = needsRestartFor(road, source) && !order.restart;
  if (lacksConsent && !order.dryRun) throw noRestart();
  const bytes = source.databases
    .filter(({ name }) => here.kind === "standby" || name === source.database)
    .reduce((sum, one) => sum + one.bytes, 0);
  await assertRoom(here, bytes * GROWTH + ROOM, ofMedia, system);
  const lines = [
    ...describeBegin(old, here, facts, bytes),
    ...mediaLines(ofMedia),
    ...(lacksConsent ? ["only with --restart-postgresql, which agrees to the restart"] : []),
  ];
  const findings = [...(facts.findings as Finding[]), ...(road === "standby" ? alsoCopied(facts) : [])];
  if (order.dryRun) return { kind: "dry-run", findings, lines };
  for (const said of describeWarnings(findings)) progress.note(`on the old host: ${said}`);
  if (!before && !order.yes) await askConsent(facts.subject, lines, system);

  // Before the old host is changed, so that whatever ends this run, the same command goes on with the same id.
  const state: FollowState = before ?? provisional({ facts, old, here, road }, system);
  if (ofMedia) await writeMediaRecord(order.configDir, ofMedia.record, system.files);
  await writeFollowState(order.configDir, state, system.files);
  const prepared = await askSource(
    old,
    {
      type: "prepare",
      id: state.id,
      road,
      target,
      restart: order.restart,
    },
    system,
    progress,
  );
  await system.files.writeAtomically(passwordFilePath(order.configDir), passwordLine(prepared), 0o600);
  const ready: FollowState = {
    ...state,
    stage: "copying",
    old: { ...oldFields(old), ...preparedFields(prepared) },
  };
  await writeFollowState(order.configDir, ready, system.files);
  return { kind: "begun", state: ready, findings: [...findings, ...(prepared.findings as Finding[])] };
}

function assertSame({ old, configDir }: FollowOrder, before: FollowState | undefined): void {
  if (!before || !old || old.address === before.old.address) return;
  throw new MigrationError(
    "bundle-mismatch",
    `a copy of ${before.serverName} on ${before.old.address} was begun with --config-dir ${configDir}, and ${old.address} is another host`,
    { hint: "leave out the address to go on with that copy, or end it first: synlift follow stop" },
  );
}

async function goOn(order: FollowOrder, before: FollowState, system: System): Promise<Begun> {
  const { configDir } = order;
  if (before.stage === "detached" || before.stage === "done")
    throw new MigrationError(
      "already-opened",
      `the copy in ${configDir} was cut over${before.stage === "done" ? "" : " in part"}: it follows no more`,
      {
        hint:
          before.stage === "done"
            ? "go on with synlift open; or, to begin anew after a rollback: synlift follow stop, which says what is left"
            : "go on with synlift pull --followed; or roll back on the old host, and begin anew with --begin-again",
      },
    );
  // Whatever is the matter with the media, the database follows: it is told when they would be copied.
  const isAsked = order.media.isGiven || order.media.isLeftOut;
  const media =
    isAsked || (await tryRead(() => readMediaRecord(configDir, system.files)))
      ? await settledMedia(order, true, system)
      : undefined;
  if (media && !order.dryRun)
    await writeMediaRecord(configDir, { ...media, serverName: before.serverName }, system.files);
  return {
    kind: "begun",
    // The cut-over was given up before anything here was changed.
    state: before.stage === "fenced" ? { ...before, stage: "following" } : before,
    findings: [],
  };
}

/**
 * What was begun, with the port that is asked for now; its data stays as it is. Throws `start-failed` when something else has the port of a
 * copy that is to be started, and `target-unsuitable` for a port that cannot be had.
 */
async function withPort(
  before: FollowState,
  { place, configDir, dryRun }: FollowOrder,
  system: System,
): Promise<FollowState> {
  const { here } = before;
  if (here.kind !== "standby" || before.stage === "detached" || before.stage === "done") return before;
  const { port = here.port } = place;
  if (port === here.port) {
    const isCopying = before.stage === "preparing" || before.stage === "copying";
    // PostgreSQL 12 writes no manifest. What runs is stopped before it is filled again.
    const isThere = !isCopying || (await isComplete(here, system)) || (await isRunning(here, system));
    await (isThere ? assertStartable(here, system) : assertPortFree(here, system));
    return before;
  }
  await changePort(here, port, { dryRun }, system);
  const state = { ...before, here: { ...here, port } };
  if (!dryRun) await writeFollowState(configDir, state, system.files);
  return state;
}

async function targetFacts(
  { place, logical }: FollowOrder,
  begun: FollowState["here"] | undefined,
  system: System,
) {
  const machine = (await system.programs.run({ name: "uname", args: ["-m"], timeout: 10_000 })).trim();
  const installed = await serverPrograms(place.programs, system);
  return { architecture: machine, serverMajors: installed.map(({ major }) => major), server: await server() };

  async function server() {
    const named = begun?.kind === "logical" ? begun : logical;
    if (!named) return null;
    const { version, isSuperuser } = await serverFacts(named, system);
    return { version, isSuperuser };
  }
}

/** A database for logical replication is named on purpose; otherwise a standby, which needs less on the old host. */
function chooseRoad({ road, logical }: FollowOrder, { roads, source }: FollowAnswers["facts"]): Road {
  // That no database is named is no reason against it: `choosePlace` asks for it.
  const fits = judgeRoads(source, undefined).logical.reasons.length === 0;
  return road ?? (logical || (roads.standby.length > 0 && fits) ? "logical" : "standby");
}

/** The old host refuses as well: this is said before anybody is asked, and by a dry run. Throws `follow-impossible`. */
function assertPossible(road: Road, { roads }: FollowAnswers["facts"]): void {
  const reasons = roads[road];
  if (reasons.length === 0) return;
  const words = road === "standby" ? "physical replication (standby)" : "logical replication";
  throw new MigrationError("follow-impossible", `${words} is not possible: ${reasons.join("; ")}`, {
    hint: "nothing was changed on either host; synlift plan on the old host says which kind of replication fits",
  });
}

/** Before anybody is asked: the old host would refuse it, too. */
const noRestart = () =>
  new MigrationError(
    "follow-impossible",
    "logical replication needs wal_level = logical, and for that one restart of the old PostgreSQL, in which Synapse loses its connections for some seconds",
    {
      hint: "nothing was changed on either host; agree on a time, and run it again with --restart-postgresql",
    },
  );

async function choosePlace(
  road: Road,
  { place, logical }: FollowOrder,
  { source, roads }: FollowAnswers["facts"],
  system: System,
): Promise<NewPlace> {
  if (road === "standby") {
    const administrator = source.administrator.isSuperuser ? source.administrator.name : "postgres";
    return {
      kind: "standby",
      ...(await chooseStandby(place, majorOf(source.version), administrator, system)),
    };
  }
  if (logical) return chooseLogical(logical, source.version, system);
  const why = roads.standby.length > 0 ? `a standby cannot be made here: ${roads.standby.join("; ")}; ` : "";
  throw new MigrationError(
    "bad-usage",
    `${why}logical replication needs the address of the new database: --database`,
    {
      hint: "name it, with the file for its password: --database 'host=127.0.0.1 user=… dbname=…' --database-password-file FILE; or install PostgreSQL of the old server's major version on this host, for a standby",
    },
  );
}

/** Where a copy will be; the name of a subscription is not settled yet. */
type NewPlace = Extract<FollowState["here"], { kind: "standby" }> | NewLogicalCopy;

const settledMedia = ({ media, configDir }: FollowOrder, isBegun: boolean, { files }: System) =>
  settleMedia(media, { configDir, isBegun }, files);

async function assertRoom(
  here: NewPlace,
  bytes: number,
  media: MediaPlan | undefined,
  system: System,
): Promise<void> {
  const { files } = system;
  const [folder, option] =
    here.kind === "standby"
      ? [here.data, "--data-dir"]
      : [(await serverFacts(here, system)).data, "--database"];
  await assertDiskSpace(folder, bytes, "a copy of the old database", option, files);
  if (!media || media.record.paused) return;
  const { record, toCome } = media;
  if (isInside(record.dir, folder) || isInside(folder, record.dir))
    throw new MigrationError(
      "bad-usage",
      `--media-dir: ${record.dir} and the database in ${folder} need folders of their own`,
      { hint: "give another folder: --media-dir" },
    );
  const isSameDisk = (await deviceOf(folder, files)) === (await deviceOf(record.dir, files));
  await assertRoomForMedia(record.dir, toCome + (isSameDisk ? bytes : 0), files);
}

const isInside = (path: string, folder: string) => `${path}/`.startsWith(`${folder}/`);

const deviceOf = async (folder: string, files: System["files"]) =>
  (await files.stat(await nearestFolder(folder, files)))?.device;

/** What is known before the old host was asked to prepare itself. */
function provisional(
  { facts, old, here, road }: { facts: FollowAnswers["facts"]; old: OldHost; here: NewPlace; road: Road },
  { machine }: System,
): FollowState {
  const { source, subject } = facts;
  const state = newFollowState(
    {
      road,
      serverName: subject,
      old: {
        ...oldFields(old),
        postgres: { host: "127.0.0.1", port: 5432 },
        database: source.database,
        role: FOLLOW_ROLE,
        slot: null,
        systemIdentifier: source.systemIdentifier,
        serverVersion: source.version,
      },
      tunnel: { folder: "" },
      here: here.kind === "standby" ? here : { ...here, subscription: "" },
    },
    machine,
  );
  return {
    ...state,
    tunnel: { folder: tunnelFolder(state.id, machine) },
    here: here.kind === "standby" ? here : { ...here, subscription: slotNameOf(state.id) },
    old: { ...state.old, slot: slotNameOf(state.id) },
  };
}

const oldFields = ({ address, sshConfig, senderCommand, folder }: OldHost) => ({
  address,
  ...(sshConfig === undefined ? {} : { sshConfig }),
  senderCommand,
  folder,
});

const preparedFields = (prepared: FollowAnswers["prepared"]) => ({
  postgres: { host: prepared.host, port: prepared.port },
  database: prepared.database,
  ...(prepared.stateDatabase === null ? {} : { stateDatabase: prepared.stateDatabase }),
  ...(prepared.masDatabase === null ? {} : { masDatabase: prepared.masDatabase }),
  ...(prepared.publication === null ? {} : { publication: prepared.publication }),
  synapseRole: prepared.synapseRole,
  ...(prepared.stateRole === null ? {} : { stateRole: prepared.stateRole }),
  role: prepared.role,
  slot: prepared.slot,
  systemIdentifier: prepared.systemIdentifier,
  serverVersion: prepared.serverVersion,
});

/** libpq's password file: whatever the host, port and database (PostgreSQL documentation, 34.16). */
function passwordLine({ role, password }: FollowAnswers["prepared"]): string {
  const field = (text: string) => text.replaceAll(/[\\:]/g, "\\$&");
  return `*:*:*:${field(role)}:${field(password)}\n`;
}

/** What is done on both hosts, a line each. */
function describeBegin(
  old: OldHost,
  here: NewPlace,
  { changes, changesFor, source }: FollowAnswers["facts"],
  bytes: number,
): string[] {
  const road = here.kind === "logical" ? "logical" : "standby";
  const onOldHost = (changesFor?.[road] ?? changes).map((line) => `on the old host: ${line}`);
  if (here.kind === "logical")
    return [
      ...onOldHost,
      `on this host: copy ${formatBytes(bytes)} from ${old.address} into ${describeCopy(here)}, which is made with its role where it does not exist`,
      "on this host: keep that copy up to date until the cut-over, by logical replication",
      "meanwhile Synapse on the old host must not be updated, and no tool may change its tables: changes of the schema are not carried",
    ];
  const names = source.databases.map(({ name }) => name).join(", ");
  const place = here.cluster
    ? `the PostgreSQL cluster ${here.cluster.major}/${here.cluster.name}, port ${here.port}, with its data in ${here.data}`
    : `a PostgreSQL in ${here.data}, port ${here.port}`;
  return [
    ...onOldHost,
    `on this host: make ${place}, and copy ${formatBytes(bytes)} from ${old.address} into it: all databases of that server (${names})`,
    "on this host: keep that copy up to date until the cut-over, as a standby",
  ];
}

/** A standby is a copy of the whole server. */
function alsoCopied({ source }: FollowAnswers["facts"]): Finding[] {
  const own = new Set([source.database, source.stateDatabase, source.masDatabase, "postgres"]);
  const others = source.databases.filter(({ name }) => !own.has(name));
  if (others.length === 0) return [];
  return [
    {
      id: "follow-other-databases",
      level: "warning",
      sentence: `the old server has ${others.length === 1 ? "a database that is" : "databases that are"} not this homeserver's, and a standby copies ${others.length === 1 ? "it" : "them"}, too`,
      evidence: others.map(({ name, bytes }) => `${name}: ${formatBytes(bytes)}`),
      hint: "drop those that do not belong on the new host once it is open; what they are used for stays on the old host",
    },
  ];
}

async function askConsent(subject: string, lines: readonly string[], system: System): Promise<void> {
  await confirm(
    {
      question: `For a copy of the database of ${subject} that follows the old server, which goes on running:${bulletList(lines)}\nBegin?`,
      consequence: `PostgreSQL on the old host is changed so that a copy can follow it: ${lines.join("; ")}`,
      otherwise: new MigrationError("bad-usage", "nothing was begun: you answered no", {
        hint: "nothing was changed on either host",
      }),
    },
    system,
  );
}
