import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import { quoteShellWord } from "../../system/shell-quoting.ts";
import type { System } from "../../system/system.ts";
import { askServerState } from "../old-server/ask-state.ts";
import type { OldServerState } from "../old-server/server-state.ts";
import type { RestoreRecord } from "../restore/record.ts";

const ID = "old-server";

export interface MovedServer {
  readonly record: Pick<RestoreRecord, "serverName" | "rehearsal" | "outageSince" | "oldHost">;
  /** The database followed the old one, and was not transferred. */
  readonly isFollowed: boolean;
}

/**
 * Asks the old host, where the transfer has reached it, whether its server is still as the transfer left it: stopped, and not rolled
 * back. That it cannot be asked is a warning: it may be gone for good. Asks nothing for a rehearsal, whose old server runs, and for a
 * bundle, which does not know where it came from. Changes nothing, and throws only when the run is interrupted.
 */
export async function oldServerGate(moved: MovedServer, system: System): Promise<Finding[]> {
  return (await ask(moved, system)).map(({ finding }) => finding);
}

/** The same for a new server that runs already: it is wrong only where both run, and otherwise too late to keep it from being opened. */
export async function oldServerBeside(moved: MovedServer, system: System): Promise<Finding[]> {
  const asked = await ask(moved, system);
  return asked.map(({ finding, runs }) =>
    finding.level === "blocker" && !runs ? { ...finding, level: "warning" } : finding,
  );
}

interface Asked {
  readonly finding: Finding;
  readonly runs: boolean;
}

async function ask(moved: MovedServer, system: System): Promise<Asked[]> {
  const { serverName, rehearsal, oldHost } = moved.record;
  if (rehearsal || oldHost === undefined) return [];
  if (oldHost === null)
    return [
      {
        runs: false,
        finding: {
          id: ID,
          level: "note",
          sentence: `whether ${serverName} is still stopped on its old host was not asked: the command that reached it is not kept, as it may contain a secret`,
          hint: "see there: synlift status, with the folder of the transfer",
        },
      },
    ];
  try {
    const state = await askServerState(oldHost, system);
    return [{ runs: state.server === "running", finding: judge(state, moved, oldHost) }];
  } catch (error) {
    system.signal.throwIfAborted();
    if (!(error instanceof MigrationError)) throw error;
    return [{ runs: false, finding: notAsked(serverName, error.message, oldHost.folder) }];
  }
}

function judge(
  state: OldServerState,
  { record, isFollowed }: MovedServer,
  { address, folder }: NonNullable<RestoreRecord["oldHost"]>,
): Finding {
  const { serverName, outageSince } = record;
  const { subject, fence, undoneAt, lifted, server, signs, busy } = state;
  if (subject !== null && subject !== serverName)
    return notAsked(serverName, `${address} has the server ${subject}`, folder);
  const again = isFollowed
    ? "to move after all, end the copy with synlift follow stop, begin again with synlift follow, and run the same pull again"
    : "to move after all, drop the new database, and run the same pull again";
  const blocker = (sentence: string, more: Partial<Finding>): Finding => ({
    id: ID,
    level: "blocker",
    sentence,
    ...more,
  });
  const rolledBack = undoneAt === null ? "" : `: the move was rolled back there on ${undoneAt}`;
  if (server === "running")
    return blocker(`${serverName} runs on its old host${rolledBack}`, {
      evidence: signs,
      hint: `two servers with one name and one key must never run, and what people write there is not here: leave this one fenced; ${again}`,
    });
  if (busy)
    return blocker(
      `synlift works on the old host at the moment, in ${folder}: it may be starting ${serverName}`,
      {
        hint: "wait until that run has ended, then run the same command again",
      },
    );
  if (fence === "undone")
    return blocker(
      `the move of ${serverName} was rolled back on the old host on ${undoneAt ?? "an unknown day"}`,
      {
        evidence: [
          server === "unchanged"
            ? "its server does not run now, and has written nothing since it was stopped for the move"
            : server === "written"
              ? "its server does not run now, and has written since it was stopped for the move"
              : `whether its server runs could not be looked at: ${signs.join("; ")}`,
        ],
        hint: `it can be started there at any time, and what it wrote is not here: leave this one fenced; ${again}`,
      },
    );
  if (outageSince !== null && state.outageSince !== null && outageSince !== state.outageSince)
    return blocker(
      `${serverName} has run on its old host since it was moved here: it was stopped there on ${state.outageSince}, and what is here is from ${outageSince}`,
      { hint: `what it wrote in between is not here: leave this one fenced; ${again}` },
    );
  if (server === "written")
    return {
      id: WRITTEN_ID,
      level: "blocker",
      sentence: `the old database of ${serverName} was written to after the server was stopped for the move: these changes are not here`,
      hint: again,
    };
  const status = `see there: synlift status --out ${quoteShellWord(folder)}`;
  const warning = (sentence: string, evidence: readonly string[] = []): Finding => ({
    id: ID,
    level: "warning",
    sentence,
    ...(evidence.length === 0 ? {} : { evidence }),
    hint: `two servers with one name and one key must never run: make sure that it cannot start. ${status}`,
  });
  if (fence === "none")
    return warning(
      server === "unknown"
        ? `${address} has no record of the move in ${folder}, and whether ${serverName} runs there is not known`
        : `${serverName} does not run on its old host, but it is not fenced there: ${folder} has no record of the move`,
      signs,
    );
  if (server === "unknown")
    return warning(
      `${serverName} is fenced on its old host, but whether it runs could not be looked at`,
      signs,
    );
  if (lifted.length > 0)
    return warning(
      `${serverName} does not run on its old host, but part of its fence is no longer there`,
      lifted,
    );
  if (fence === "stopped")
    return warning(
      `${serverName} does not run on its old host, but it is not fenced there: it can be started`,
    );
  return {
    id: ID,
    level: "ok",
    sentence: `${serverName} is still stopped and fenced on its old host, ${address}, and nothing was written there since`,
  };
}

/** Acceptable on its own: whoever wrote may know that nothing of it is needed. */
const WRITTEN_ID = "old-server-written";

const notAsked = (serverName: string, why: string, folder: string): Finding => ({
  id: ID,
  level: "warning",
  sentence: `whether ${serverName} is still stopped on its old host could not be asked: ${why}`,
  hint: `two servers with one name and one key must never run. If that host is gone for good, nothing has to be done; otherwise see there: synlift status --out ${quoteShellWord(folder)}`,
});
