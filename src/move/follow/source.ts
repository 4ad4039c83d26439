import { join } from "node:path";
import { LOCK } from "../../bundle/layout.ts";
import { assertUsableFolder } from "../../bundle/workspace.ts";
import { MigrationError } from "../../errors.ts";
import type { GivenAdministrator } from "../../homeserver/database/follow/administrator.ts";
import { bestRoad, roadFindings } from "../../homeserver/database/follow/findings.ts";
import { prepareFollow } from "../../homeserver/database/follow/prepare.ts";
import { readSourceFacts } from "../../homeserver/database/follow/read-facts.ts";
import { FollowRecord } from "../../homeserver/database/follow/record.ts";
import { judgeRoads } from "../../homeserver/database/follow/roads.ts";
import { findServer } from "../../homeserver/database/follow/server.ts";
import { undoFollow } from "../../homeserver/database/follow/undo.ts";
import type { GivenSource } from "../../homeserver/service/find/choose.ts";
import { acquireLock } from "../../journal/lock.ts";
import { Channel } from "../../pipeline/channel.ts";
import type { Finding } from "../../report/finding.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { findExportSource } from "../old-server/find-source.ts";
import { lookAtServer, type OldServerState } from "../old-server/server-state.ts";
import { forgetMediaPasses, lookAtMedia, sendMediaPass } from "./media/send.ts";
import {
  FOLLOW_PROTOCOL_VERSION,
  type FollowAnswers,
  type FollowRequest,
  type FollowRequests,
  parseFollowRequest,
} from "./protocol.ts";

export interface FollowSourceOrder {
  readonly given: GivenSource;
  /** Absolute. */
  readonly folder: string;
  readonly administrator: GivenAdministrator | undefined;
}

/**
 * The old host's side of a follow: answers the requests of the new host, which started this run, until it closes the connection.
 * Errors are reported there. Throws what an answer throws, and `connection-failed`.
 */
export async function followSource(order: FollowSourceOrder, system: System): Promise<void> {
  const { terminal, signal } = system;
  const channel = await Channel.open(terminal.parent(signal), { peerLocation: "on the new host" });
  try {
    await channel.sendMessage({
      type: "hello",
      version: FOLLOW_PROTOCOL_VERSION,
      program: PROGRAM,
    } satisfies FollowAnswers["hello"]);
    for (;;) {
      const message = await channel.receiveMessageOrEnd();
      if (message === undefined) return;
      const request = parseFollowRequest(message);
      if (request.type === "media") await passHere(request, order, channel, system);
      else await channel.sendMessage(await answer(request, order, channel, system));
    }
  } catch (error) {
    await channel.sendError(error);
    throw error;
  } finally {
    channel.close();
  }
}

type Answer = FollowAnswers["facts" | "prepared" | "undone"] | OldServerState;

async function answer(
  request: Exclude<FollowRequest, { readonly type: "media" }>,
  order: FollowSourceOrder,
  channel: Channel,
  system: System,
): Promise<Answer> {
  switch (request.type) {
    case "facts":
      return tellFacts(request, order, system);
    case "prepare":
      return inFolder(order, channel, system, () => prepareHere(request, order, channel, system));
    case "undo":
      return undoHere(order, channel, system);
    case "media-go":
      throw new MigrationError("connection-failed", 'the new host sent "media-go" at the wrong time', {
        hint: "use the same version of synlift on both hosts, and run the same command again",
      });
    case "old-server":
      return lookAtServer(order, system);
  }
}

/** Without the folder's lock: a first pass takes hours, and a rollback must not wait for it. */
async function passHere(
  request: FollowRequests["media"],
  { given, folder }: FollowSourceOrder,
  channel: Channel,
  system: System,
): Promise<void> {
  const { homeserver } = await findExportSource({ ...given, withoutMas: true }, folder, system);
  await assertUsableFolder(folder, system.files);
  await system.files.makeFolder(folder);
  await system.files.setMode(folder, 0o700);
  await sendMediaPass(request, homeserver, folder, channel, system);
}

async function tellFacts(
  { target, media: withMedia = false }: FollowRequests["facts"],
  order: FollowSourceOrder,
  system: System,
): Promise<FollowAnswers["facts"]> {
  const { homeserver, findings } = await findExportSource(order.given, order.folder, system);
  const { databases, administrator } = await findServer(homeserver, order.administrator, system);
  const source = await readSourceFacts(databases, administrator, system);
  const roads = judgeRoads(source, target);
  const best = bestRoad(roads);
  const media = withMedia ? await lookAtMedia(homeserver, system) : undefined;
  return {
    type: "facts",
    subject: homeserver.serverName,
    source,
    roads: { standby: [...roads.standby.reasons], logical: [...roads.logical.reasons] },
    changes: best === undefined ? [] : [...roads[best].changes],
    changesFor: { standby: [...roads.standby.changes], logical: [...roads.logical.changes] },
    ...(media ? { media: media.all } : {}),
    findings: tellable([...findings, ...roadFindings(source, roads), ...(media?.findings ?? [])]),
  };
}

async function prepareHere(
  { id, road, target, restart }: FollowRequests["prepare"],
  order: FollowSourceOrder,
  channel: Channel,
  system: System,
): Promise<FollowAnswers["prepared"]> {
  const { homeserver } = await findExportSource(order.given, order.folder, system);
  const { databases, administrator } = await findServer(homeserver, order.administrator, system);
  const { folder } = order;
  const { serverName: subject } = homeserver;
  const prepared = await prepareFollow(
    { id, road, subject, folder, databases, administrator, target, restart },
    system,
    noting(channel),
  );
  const { facts, place } = prepared;
  return {
    type: "prepared",
    subject,
    host: place.host,
    port: place.port,
    role: prepared.role,
    password: prepared.password,
    slot: prepared.slot,
    publication: prepared.publication,
    database: facts.database,
    stateDatabase: facts.stateDatabase,
    masDatabase: facts.masDatabase,
    synapseRole: await roleOf(databases.main, system),
    stateRole: databases.state === undefined ? null : await roleOf(databases.state, system),
    administrator: facts.administrator.name,
    systemIdentifier: facts.systemIdentifier,
    serverVersion: facts.version,
    architecture: facts.architecture,
    keeps: prepared.keeps,
    findings: [],
  };
}

/** The configuration may be gone by now: the record says how PostgreSQL's administrator connects. */
async function undoHere(
  order: FollowSourceOrder,
  channel: Channel,
  system: System,
): Promise<FollowAnswers["undone"]> {
  const { files, machine } = system;
  await forgetMediaPasses(order.folder, system);
  if (!(await FollowRecord.read(order.folder, files, machine)))
    return { type: "undone", leftToDo: [], findings: [] };
  return inFolder(order, channel, system, async () => {
    const record = await FollowRecord.read(order.folder, files, machine);
    if (!record) return { type: "undone", leftToDo: [], findings: [] };
    const { leftToDo, findings } = await undoFollow(record, system, noting(channel));
    return { type: "undone", leftToDo: [...leftToDo], findings: tellable(findings) };
  });
}

async function roleOf(main: PostgresAddress, { postgres }: System): Promise<string> {
  const session = await postgres.connect(main);
  try {
    return (await session.one<{ role: string }>("SELECT session_user::text AS role")).role;
  } finally {
    await session.close();
  }
}

/** Runs with the folder's lock, which the sender and rollback take, too. */
async function inFolder<T>(
  { folder }: FollowSourceOrder,
  channel: Channel,
  system: System,
  act: () => Promise<T>,
): Promise<T> {
  const { files } = system;
  await assertUsableFolder(folder, files);
  await files.makeFolder(folder);
  await files.setMode(folder, 0o700);
  const held = await waitForLock(join(folder, LOCK), channel, system);
  try {
    return await act();
  } finally {
    await held.release();
  }
}

/** Milliseconds that another process is waited for, and between two attempts. */
const LOCK_PATIENCE = 60_000;
const LOCK_PAUSE = 200;

/** When the new host's side is killed, this one completes what it has begun: the next run comes meanwhile. Throws `bundle-in-use`. */
async function waitForLock(path: string, channel: Channel, { files, machine, signal }: System) {
  const until = machine.elapsed() + LOCK_PATIENCE;
  for (let isTold = false; ;) {
    try {
      return await acquireLock(path, files, machine);
    } catch (error) {
      if (!(error instanceof MigrationError) || error.code !== "bundle-in-use") throw error;
      if (machine.elapsed() > until) throw error;
      if (!isTold) noting(channel).note(`waiting for it to end: ${error.message}`);
      isTold = true;
    }
    await machine.wait(LOCK_PAUSE, signal);
  }
}

const noting = (channel: Channel) => ({
  note: (sentence: string) => {
    // A broken connection is detected by the next message.
    channel.sendMessage({ type: "note", sentence } satisfies FollowAnswers["note"]).catch(() => undefined);
  },
});

const tellable = (findings: readonly Finding[]) =>
  findings.map(({ id, level, sentence, evidence, hint }) => ({
    id,
    level,
    sentence,
    evidence: [...(evidence ?? [])],
    ...(hint === undefined ? {} : { hint }),
  }));
