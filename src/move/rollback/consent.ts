import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import { asList, nobodyToAsk } from "../confirm.ts";
import { type NewServer, refuseOpened } from "./new-server.ts";

export interface GoingBack {
  readonly subject: string;
  readonly folder: string;
  /** What is known of the new server. */
  readonly there: NewServer;
  /** Whether all that the new server needs has left this host, or could have. */
  readonly complete: boolean;
  /** What would be done, a line each. */
  readonly lines: readonly string[];
  readonly yes: boolean;
  readonly force: boolean;
  /** Only look: then nobody needs to be asked. */
  readonly dryRun: boolean;
}

/**
 * Whether the old server may serve again. Two servers of one name must never run, and once everything was packed the new
 * one may be open: where nothing shows that it is not, a person is asked, unless the answer was given. Answers what they
 * take on. Throws `already-opened` when it is open, or the answer is no; `bad-usage` when nobody can be asked.
 */
export async function mayGoBack(
  going: GoingBack,
  { terminal }: Pick<System, "terminal">,
): Promise<Finding[]> {
  const { there, folder, subject, complete, lines } = going;
  if (there.state === "closed") return [];
  if (there.state === "opened") {
    if (!going.force) refuseOpened(there.how);
    return [lost(there.how)];
  }
  if (!complete && there.why.length === 0) return [];
  const unknown = [
    ...there.why,
    ...(complete ? [`all of ${subject} was packed by ${folder}: the new server may be open by now`] : []),
  ].join("; ");
  const finding: Finding = { id: "opened-unknown", level: "warning", sentence: unknown, hint: LOOK };
  if (going.yes || going.force || going.dryRun) return [finding];
  if (!terminal.interactive)
    throw nobodyToAsk(unknown, `${LOOK}; when it is certain that it was never opened: --yes`);
  const question = `${unknown}.\nTwo servers of one name must never run, and what was written on the new one is not here. On this host:${asList(lines)}\nIs it certain that the new server was never opened, and that this may be done?`;
  if (await terminal.confirm(question)) return [finding];
  throw new MigrationError("already-opened", "nothing was undone, as you said no", {
    hint: "the old server stays stopped and fenced; see whether the new one is open, then run this again",
  });
}

const LOOK =
  "see on the new host that it is not open; --target with the address it serves at, or --config-dir if it was restored on this host, finds out whether it is";

const lost = (opened: string): Finding => ({
  id: "opened-elsewhere",
  level: "warning",
  sentence: `${opened}: whatever was written there since is not on this host, and two servers of one name must never run`,
  hint: "stop the new server for good before anybody reaches both",
});
