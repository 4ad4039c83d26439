import { join } from "node:path";
import { Inventory } from "../../bundle/inventory.ts";
import type { Workplace } from "../../bundle/workplace.ts";
import { exportConfig } from "../../homeserver/config/artifact.ts";
import { BACKUP_ALONE } from "../../homeserver/media/pack/choice.ts";
import { runSteps } from "../../journal/run-steps.ts";
import { Channel } from "../../pipeline/channel.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import { PROGRAM } from "../../system/version.ts";
import { ExportClock, outageSince } from "../export/clock.ts";
import type { Packing, TimedStep } from "../export/context.ts";
import { keptIn } from "../export/lost-servers.ts";
import { mediaSteps } from "../export/media-steps.ts";
import { downNow, mustHaveStayedDown, signsOf } from "../export/source.ts";
import { readForPacking, stepsOnceDown } from "../export/steps.ts";
import { takeDown } from "../old-server/stop-and-fence.ts";
import { lookBeforeSending, lookedWords, type SendLook, type SendOrder } from "./look.ts";
import {
  FROM_NEW,
  type FromOld,
  hearFromNew,
  mustTalkAlike,
  parseFromNew,
  ROAD_VERSION,
} from "./protocol.ts";
import { toldThere } from "./remote-progress.ts";
import { COMPLETE, enterRoadPlace, HANDED_OVER, saveThere, writeDown } from "./sender-folder.ts";
import { RoadWriter } from "./writer.ts";

/** File with the list of the media that the new host already has. */
const THERE = "media-there.txt";

/**
 * The old host's side of a direct transfer: sends a homeserver to the restore that started this run, and stops and fences
 * it when that side says so. Progress and errors are reported there. What an earlier run sent is not sent again. Throws
 * what an export throws, and `connection-failed`.
 */
export async function sendHomeserver(order: SendOrder, system: System): Promise<void> {
  const { terminal, signal } = system;
  const channel = await Channel.begin(terminal.caller(signal), { there: "on the new host" });
  try {
    await channel.say({ type: "hello", version: ROAD_VERSION, program: PROGRAM } satisfies FromOld["hello"]);
    const begin = await hearFromNew(channel, FROM_NEW.begin);
    mustTalkAlike(begin.version, "on the new host");
    const inventory = Inventory.parse(begin.inventory, "the inventory of the new host");
    const look = await lookBeforeSending(order, begin, system);
    const writer = new RoadWriter(channel, begin.presses);
    await channel.say(lookedWords(look, order));
    await sendConfig(look, { inventory, writer, channel }, system);
    const answer = await channel.hearOrEnd();
    // The person there answered no, or it was a dry run.
    if (answer === undefined) return;
    parseFromNew(FROM_NEW.go, answer);
    await sendAll(order, look, { inventory, writer, channel, rehearsal: begin.rehearsal }, system);
  } catch (error) {
    await channel.fail(error);
    throw error;
  } finally {
    channel.leave();
  }
}

interface Talk {
  readonly inventory: Inventory;
  readonly writer: RoadWriter;
  readonly channel: Channel;
}

/** It is small, so it is sent each time: the new host checks it before asking for consent. */
async function sendConfig(
  { found: { homeserver } }: SendLook,
  { inventory, writer, channel }: Talk,
  system: System,
): Promise<void> {
  const read = await readForPacking({ homeserver, place: { inventory }, system });
  const config = exportConfig({
    ...{ ...read, inventory, into: writer, inputs: {} },
    saved: () => saveThere(inventory, channel),
    check: () => Promise.resolve(undefined),
  });
  await config.run();
}

async function sendAll(
  order: SendOrder,
  look: SendLook,
  { inventory, writer, channel, rehearsal }: Talk & { rehearsal: boolean },
  system: System,
): Promise<void> {
  const { folder, accepted } = order;
  const { homeserver } = look.found;
  const { serverName: subject } = homeserver;
  const { machine, signal } = system;
  const there = { path: join(folder, THERE), key: inventory.salt, wholeSeconds: true };
  const place = await enterRoadPlace({ folder, subject, rehearsal, inventory, channel, writer }, system);
  try {
    const { journal } = place;
    const view = toldThere(channel);
    const clock = new ExportClock(journal, machine, view);
    await writeDown(channel.receive(), there.path, system);
    const packing: Packing = {
      ...{ homeserver, place, folder, accepted, there, system },
      ...{ inputs: { bundle: inventory.id }, media: BACKUP_ALONE, progress: view },
      dumpFormat: "plain",
    };
    const run = async (steps: Iterable<TimedStep>) => {
      for (const { step } of steps)
        await runSteps([step], { journal, progress: view, signal, now: () => machine.now() });
    };
    // Media files never change: those that exist now are sent while the server may still run.
    await run(mediaSteps(packing, look.source, look.source.alive.length > 0));
    const findings: Finding[] = [];
    let { source } = look;
    if (look.plan) {
      findings.push(...(await stopHere(order, look, { clock, view }, system)));
      source = await downNow(homeserver, source, keptIn(packing), system);
      await look.plan.record.setMarker(source.marker);
    }
    await run(stepsOnceDown(packing, source, true));
    if (look.plan) await mustHaveStayedDown(homeserver, source, system);
    await handOver(place, rehearsal ? null : outageSince(journal), findings, channel, system);
  } finally {
    await system.files.remove(there.path);
    await place.leave();
  }
}

async function stopHere(
  { accepted }: SendOrder,
  { found: { homeserver }, source, plan }: SendLook,
  { clock, view }: { clock: ExportClock; view: ReturnType<typeof toldThere> },
  system: System,
): Promise<Finding[]> {
  if (!plan) return [];
  if (!plan.alive) await clock.foundDown(source.marker);
  const taken = {
    ...{ ...plan, homeserver, accepted },
    look: () => signsOf(homeserver, source, system),
    clock,
  };
  return takeDown(taken, system, view);
}

async function handOver(
  { journal }: Workplace,
  since: string | null,
  findings: readonly Finding[],
  channel: Channel,
  { machine }: System,
): Promise<void> {
  const told = findings.map((finding) => ({ ...finding, evidence: [...(finding.evidence ?? [])] }));
  await journal.setFact(COMPLETE, new Date(machine.now()).toISOString());
  await channel.say({ type: "done", outageSince: since, findings: told } satisfies FromOld["done"]);
  await hearFromNew(channel, FROM_NEW.restored);
  await journal.setFact(HANDED_OVER, new Date(machine.now()).toISOString());
}
