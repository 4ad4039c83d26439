import type { Inventory } from "../../bundle/inventory.ts";
import { MigrationError } from "../../errors.ts";
import { openDatabaseOf } from "../../homeserver/database/target.ts";
import { type Homeserver, urlsOf } from "../../homeserver/homeserver.ts";
import { askForMedia, sampleUpload } from "../../homeserver/media/ask-started.ts";
import { liftNewFence, setNewFence } from "../../homeserver/service/fence/new-server.ts";
import { signsOfLife } from "../../homeserver/service/inspect.ts";
import { start, stop, waitUntilUp } from "../../homeserver/service/start.ts";
import { askServer } from "../../homeserver/service/verify.ts";
import { verifySigningKey } from "../../homeserver/signing-key/verify.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import type { RestoreRecord } from "../restore/record.ts";
import { sectionsOf } from "../sections.ts";

export interface Opening {
  readonly record: RestoreRecord;
  readonly inventory: Inventory;
  readonly homeserver: Homeserver;
  readonly startCommand?: string | undefined;
  readonly stopCommand?: string | undefined;
  /** Where to ask the started server. */
  readonly url?: string | undefined;
  /** An access token from before the move. */
  readonly token: string | undefined;
}

/** Milliseconds that a server gets to come up: a large one reads its caches first. */
const PATIENCE = 120_000;

/**
 * Lifts the fence, and where a command was given starts the server and asks it who it is. If it does not come up or
 * gives a wrong answer it is stopped and fenced again, and the answers come back as blockers or the error is thrown.
 */
export async function openFence(opening: Opening, system: System): Promise<readonly Finding[]> {
  const { record, homeserver, startCommand } = opening;
  const url = opening.url ?? homeserver.listeners.flatMap(urlsOf)[0];
  if (startCommand !== undefined && url === undefined) {
    throw new MigrationError(
      "bad-usage",
      "the configuration has no plain HTTP listener to ask the started server at",
      {
        hint: "say where: --url https://…",
      },
    );
  }
  await liftNewFence(record, system);
  if (startCommand === undefined || url === undefined) return [];
  let findings: readonly Finding[];
  try {
    await start(startCommand, system.programs);
    await waitUntilUp(url, PATIENCE, system);
    findings = await ask(url, opening, system);
  } catch (error) {
    await close(opening, system);
    throw error;
  }
  if (findings.some(({ level }) => level === "blocker")) await close(opening, system);
  return findings;
}

/**
 * Whether the server runs although nobody recorded that it was opened: an earlier `open` was stopped in between. If it
 * does not run, the fence is set again and all begins anew. Throws `gate-failed` when it runs and was never proven.
 */
export async function wasLeftOpen(
  record: RestoreRecord,
  homeserver: Homeserver,
  system: System,
): Promise<boolean> {
  const alive = await signsOfLife(homeserver, system);
  if (alive.length === 0) {
    await setNewFence(record, system);
    return false;
  }
  if (record.opening !== null) return true;
  throw new MigrationError(
    "gate-failed",
    `${record.serverName} runs already, and was never proven: ${alive[0]!.sentence}`,
    {
      hint: "stop it, drop its database and restore again: it may have written to it",
    },
  );
}

/** Asks a started server who it is; of its answers those that are wrong are blockers. */
export async function ask(
  url: string,
  { record, inventory, homeserver, token }: Pick<Opening, "record" | "inventory" | "homeserver" | "token">,
  system: System,
): Promise<Finding[]> {
  const { serverName } = record;
  const keyUrls = homeserver.listeners.flatMap(urlsOf);
  const { findings, published } = await askServer({ url, keyUrls, serverName, token }, system);
  const key = await verifySigningKey(sectionsOf(inventory).key, homeserver, system.files, published);
  const store = homeserver.mediaStore;
  const session = await openDatabaseOf(homeserver, system);
  const sample = await sampleUpload(session, token !== undefined).finally(() => session.close());
  return [
    ...findings,
    ...key.filter(({ id }) => id === "signing-key-published"),
    await askForMedia({ url, serverName, store, sample, token }, system),
  ];
}

async function close({ record, stopCommand }: Opening, system: System): Promise<void> {
  const { programs, terminal } = system;
  if (stopCommand === undefined) {
    terminal.err("the new server may be running: stop it now (no --stop-command was given)\n");
  } else {
    await stop(stopCommand, programs).catch((error: unknown) => {
      terminal.err(`the new server could not be stopped, stop it by hand: ${(error as Error).message}\n`);
    });
  }
  await setNewFence(record, system);
}
