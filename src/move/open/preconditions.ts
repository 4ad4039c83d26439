import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { RestoreRecord } from "../restore/record.ts";

/** Throws `already-opened`, `rehearsal-refused`, and `gate-failed` when it was already used in a trial. */
export function assertOpenable(
  { opened, rehearsal, serverName, tried }: RestoreRecord,
  { rehearsalOk, isolated }: { rehearsalOk: boolean; isolated: boolean },
): void {
  if (opened !== null) {
    throw new MigrationError("already-opened", `${serverName} was already opened on ${opened}`, {
      hint: "start and stop it like any other server",
    });
  }
  if (isolated) return;
  if (rehearsal && !rehearsalOk) {
    throw new MigrationError(
      "rehearsal-refused",
      `the restored server is a rehearsal of ${serverName}: the real server kept running and has newer data`,
      {
        hint: "export again with the old server stopped; to try this one in isolation: --isolated; to open it anyway: --rehearsal-ok",
      },
    );
  }
  if (tried !== undefined) {
    throw new MigrationError(
      "gate-failed",
      `${serverName} was used in a trial on ${tried}, and contains what was written then`,
      {
        hint: "drop its database, remove this folder and the media, and restore again",
      },
    );
  }
}

export const alreadyRunning = ({ opening }: RestoreRecord): Finding => ({
  id: "already-running",
  level: "note",
  sentence: `every gate passed on ${opening ?? "an earlier run"} and the server is running: the run that started it was interrupted before it recorded this`,
});

interface Starting {
  readonly start: boolean;
  readonly startCommand?: string | undefined;
  readonly stopCommand?: string | undefined;
  readonly url?: string | undefined;
}

/** Fills in the layout's start command, stop command and address where no option gives them. */
export function withLayout<Given extends Starting>(
  given: Given,
  { layout }: RestoreRecord,
): Given & Starting {
  const startCommand = given.start ? (given.startCommand ?? layout?.start) : undefined;
  return {
    ...given,
    startCommand,
    stopCommand: given.stopCommand ?? (given.startCommand === undefined ? layout?.stop : undefined),
    url: given.url ?? layout?.url,
  };
}
