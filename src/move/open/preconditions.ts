import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { RestoreRecord } from "../restore/record.ts";

/** Throws `already-opened`, `rehearsal-refused`, and `gate-failed` for what people tried out already. */
export function mayOpen(
  { opened, rehearsal, serverName, tried }: RestoreRecord,
  { rehearsalOk, isolated }: { rehearsalOk: boolean; isolated: boolean },
): void {
  if (opened !== null) {
    throw new MigrationError("already-opened", `${serverName} was opened on ${opened} already`, {
      hint: "start and stop it as any server",
    });
  }
  if (isolated) return;
  if (rehearsal && !rehearsalOk) {
    throw new MigrationError(
      "rehearsal-refused",
      `what was restored is a rehearsal of ${serverName}: its people went on writing elsewhere`,
      {
        hint: "make a real export with the old server stopped; to try this one out of everybody's reach: --isolated, or, if you mean it, --rehearsal-ok",
      },
    );
  }
  if (tried !== undefined) {
    throw new MigrationError(
      "gate-failed",
      `${serverName} was tried out here on ${tried}, and what was written then is in it`,
      {
        hint: "drop its database, remove this folder and the media, and restore again",
      },
    );
  }
}

export const leftOpen = ({ opening }: RestoreRecord): Finding => ({
  id: "left-open",
  level: "note",
  sentence: `every gate was passed on ${opening ?? "an earlier run"}, and the server runs: the run that opened it was stopped before it could say so`,
});

interface Starting {
  readonly start: boolean;
  readonly startCommand?: string | undefined;
  readonly stopCommand?: string | undefined;
  readonly url?: string | undefined;
}

/** What a layout starts, stops and listens at, where nobody says otherwise. */
export function withLayout<Given extends Starting>(
  given: Given,
  { layout }: RestoreRecord,
): Given & Starting {
  const startCommand = given.start ? (given.startCommand ?? layout?.start) : undefined;
  return {
    ...{ ...given, startCommand },
    stopCommand: given.stopCommand ?? (given.startCommand === undefined ? layout?.stop : undefined),
    url: given.url ?? layout?.url,
  };
}
