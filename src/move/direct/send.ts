import { join } from "node:path";
import { Inventory } from "../../bundle/inventory.ts";
import type { BundleWorkspace } from "../../bundle/workspace.ts";
import { exportConfig } from "../../homeserver/config/artifact.ts";
import { parseRoleName } from "../../homeserver/database/fence.ts";
import { removePrivateCopy } from "../../homeserver/database/sqlite/private-copy.ts";
import { BACKUP_ONLY } from "../../homeserver/media/pack/choice.ts";
import type { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { runSteps } from "../../journal/run-steps.ts";
import { Channel } from "../../pipeline/channel.ts";
import { saveStream } from "../../pipeline/save-stream.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { ExportClock, outageSince } from "../export/clock.ts";
import type { ExportContext, ExportStep } from "../export/context.ts";
import { lookAtMediaBeforehand, mediaSinceStep, mediaSteps } from "../export/media-steps.ts";
import { assertStayedDown, findSourceActivity, readSourceWhenDown } from "../export/source.ts";
import { readConfigToPack, stepsAfterStop } from "../export/steps.ts";
import { ALL_SENT, HANDED_OVER } from "../old-server/journal-facts.ts";
import { lookAtServer } from "../old-server/server-state.ts";
import { stopAndFence } from "../old-server/stop-and-fence.ts";
import {
  assertSameProtocol,
  FIRST_MESSAGE,
  NEW_HOST_MESSAGES,
  type OldHostMessages,
  parseFromNew,
  PROTOCOL_VERSION,
  readFromNewHost,
} from "./protocol.ts";
import { remoteProgress } from "./remote-progress.ts";
import { describeSource, lookBeforeSending, type SendLook, type SendOrder } from "./sender-look.ts";
import { enterSenderFolder, saveRemotely } from "./sender-state.ts";
import { ChannelWriter } from "./writer.ts";

/** File with the list of the media that the new host already has. */
const EXISTING_MEDIA_FILE = "media-there.txt";

/**
 * The old host's side of a direct transfer: sends a homeserver to the restore that started this run, and stops and fences
 * it when that side says so. Progress and errors are reported there. What an earlier run sent is not sent again. Where `open` has
 * started it, tells how this server is, and does nothing else. Throws what an export throws, and `connection-failed`.
 */
export async function sendHomeserver(order: SendOrder, system: System): Promise<void> {
  const { terminal, signal } = system;
  const channel = await Channel.open(terminal.parent(signal), { peerLocation: "on the new host" });
  try {
    await channel.sendMessage({
      type: "hello",
      version: PROTOCOL_VERSION,
      program: PROGRAM,
    } satisfies OldHostMessages["hello"]);
    const begin = await readFromNewHost(channel, FIRST_MESSAGE);
    if (begin.type === "old-server") {
      await channel.sendMessage(await lookAtServer(order, system));
      return;
    }
    assertSameProtocol(begin.version, "on the new host");
    const inventory = Inventory.parse(begin.inventory, "the inventory of the new host");
    const look = await lookBeforeSending(order, begin, system);
    const writer = new ChannelWriter(channel, begin.compress);
    await channel.sendMessage(describeSource(look, order, begin));
    await sendConfig(look, { inventory, writer, channel }, system);
    const answer = await channel.receiveMessageOrEnd();
    // The person there answered no, or it was a dry run.
    if (answer === undefined) return;
    parseFromNew(NEW_HOST_MESSAGES.go, answer);
    const { rehearsal, followed } = begin;
    await sendAll(order, look, { inventory, writer, channel, rehearsal, followed }, system);
  } catch (error) {
    await channel.sendError(error);
    throw error;
  } finally {
    channel.close();
  }
}

interface Session {
  readonly inventory: Inventory;
  readonly writer: ChannelWriter;
  readonly channel: Channel;
}

/** It is small, so it is sent each time: the new host checks it before asking for consent. */
async function sendConfig(
  { found: { homeserver } }: SendLook,
  { inventory, writer, channel }: Session,
  system: System,
): Promise<void> {
  const read = await readConfigToPack({ homeserver, workspace: { inventory }, system });
  const config = exportConfig({
    ...read,
    inventory,
    into: writer,
    inputs: {},
    saved: () => saveRemotely(inventory, channel),
    findFault: () => Promise.resolve(undefined),
  });
  await config.run();
}

async function sendAll(
  order: SendOrder,
  look: SendLook,
  { inventory, writer, channel, rehearsal, followed }: Session & { rehearsal: boolean; followed: boolean },
  system: System,
): Promise<void> {
  const { folder, accepted } = order;
  const { homeserver } = look.found;
  const { serverName: subject } = homeserver;
  const { machine, signal } = system;
  const there = { path: join(folder, EXISTING_MEDIA_FILE), key: inventory.salt, wholeSeconds: true };
  const place = await enterSenderFolder(
    { folder, subject, rehearsal, followed, inventory, channel, writer },
    system,
  );
  try {
    await removePrivateCopy(folder, system.files);
    const { journal } = place;
    const view = remoteProgress(channel);
    const clock = new ExportClock(journal, machine, view);
    await saveStream(channel.receiveStream(), there.path, system.files);
    const packing: ExportContext = {
      homeserver,
      workspace: place,
      folder,
      accepted,
      existingMedia: there,
      system,
      inputs: { bundle: inventory.id },
      media: BACKUP_ONLY,
      progress: view,
      dumpFormat: "plain",
    };
    const run = async (steps: Iterable<ExportStep>) => {
      for (const { step, prepare } of steps) {
        await prepare?.();
        await runSteps([step], { journal, progress: view, signal, now: () => machine.now() });
      }
    };
    // Media files never change: those that exist now are sent while the server may still run.
    await run(mediaSteps(packing, look.source, look.source.alive.length > 0));
    const findings: Finding[] = [];
    let { source } = look;
    // With a dump the outage is longer by far than a walk through the media.
    const looked =
      look.plan && followed && source.alive.length > 0
        ? await lookAtMediaBeforehand(packing, source)
        : undefined;
    if (look.plan) {
      findings.push(...(await stopAndFenceSource(order, look, { clock, view }, system)));
      source = await readSourceWhenDown(source, system);
      await look.plan.record.setMarker(source.marker);
    }
    if (look.plan && followed) {
      await channel.sendMessage(fencedMessage(look.plan.record));
      await run([mediaSinceStep(packing, source, { before: looked })]);
    } else await run(stepsAfterStop(packing, source, true));
    if (look.plan) await assertStayedDown(homeserver, source, system);
    await finishTransfer(place, rehearsal ? null : outageSince(journal), findings, channel, system);
  } finally {
    await system.files.remove(there.path);
    await place.close();
  }
}

/** What the copy of the log brings to the new host, where it has to be undone. */
const fencedMessage = ({ activeChanges }: FenceRecord): OldHostMessages["fenced"] => ({
  type: "fenced",
  roles: activeChanges
    .filter(({ kind }) => kind === "role-writes")
    .map(({ name, before }) => {
      const { role, database } = parseRoleName(name);
      return { role, database, before };
    }),
});

async function stopAndFenceSource(
  { accepted }: SendOrder,
  { found: { homeserver }, source, plan }: SendLook,
  { clock, view }: { clock: ExportClock; view: ReturnType<typeof remoteProgress> },
  system: System,
): Promise<Finding[]> {
  if (!plan) return [];
  if (!plan.alive) await clock.recordAlreadyDown(source.marker);
  const taken = {
    ...plan,
    homeserver,
    accepted,
    look: () => findSourceActivity(homeserver, source, system),
    clock,
  };
  return stopAndFence(taken, system, view);
}

async function finishTransfer(
  { journal }: BundleWorkspace,
  since: string | null,
  findings: readonly Finding[],
  channel: Channel,
  { machine }: System,
): Promise<void> {
  const told = findings.map((finding) => ({ ...finding, evidence: [...(finding.evidence ?? [])] }));
  await journal.setFact(ALL_SENT, new Date(machine.now()).toISOString());
  await channel.sendMessage({
    type: "done",
    outageSince: since,
    findings: told,
  } satisfies OldHostMessages["done"]);
  await readFromNewHost(channel, NEW_HOST_MESSAGES.restored);
  await journal.setFact(HANDED_OVER, new Date(machine.now()).toISOString());
}
