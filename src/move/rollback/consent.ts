import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import { type NewServer, throwAlreadyOpened } from "./new-server.ts";

export interface RollbackRequest {
  readonly subject: string;
  readonly folder: string;
  /** What is known of the new server. */
  readonly newServer: NewServer;
  /** Whether everything that the new server needs has been sent or packed, or may have been. */
  readonly complete: boolean;
  /** That the record does not say on which machine its changes were made; undefined when it does. */
  readonly machineUnknown: Finding | undefined;
  /** What would be done, a line each. */
  readonly lines: readonly string[];
  readonly yes: boolean;
  readonly force: boolean;
  /** A dry run asks nothing. */
  readonly dryRun: boolean;
}

/**
 * Asks for consent to start the old server again. Two servers with one name must never run, and once everything was packed
 * the new one may be open: when that is unknown, or on which machine the changes were made, a person is asked unless the
 * answer was given. Returns the risks they
 * accepted. Throws `already-opened` when it is open or the answer is no, `bad-usage` when there is no terminal to ask on.
 */
export async function confirmRollback(
  going: RollbackRequest,
  { terminal }: Pick<System, "terminal">,
): Promise<Finding[]> {
  const elsewhere = await confirmMachine(going, { terminal });
  return [...elsewhere, ...(await confirmNewServer(going, { terminal }))];
}

/** Asks for consent to end a copy that follows, which may have taken days. Throws `bad-usage` without a terminal, and for a no. */
export async function confirmUnfollow(
  subject: string,
  lines: readonly string[],
  { terminal }: Pick<System, "terminal">,
): Promise<void> {
  const consequence = `the copy of the database of ${subject} on the new host cannot follow any more after that, unless it was promoted already`;
  await confirm(
    {
      question: `On this host:${bulletList(lines)}
${consequence[0]!.toUpperCase()}${consequence.slice(1)}. Whether the server of ${subject} runs is not touched.
Continue?`,
      consequence: `${lines.join("; ")}: ${consequence}`,
      otherwise: new MigrationError("bad-usage", "nothing was undone: you answered no", {
        hint: "the copy can go on following",
      }),
    },
    { terminal },
  );
}

async function confirmMachine(
  { machineUnknown: finding, lines, yes, force, dryRun }: RollbackRequest,
  { terminal }: Pick<System, "terminal">,
): Promise<Finding[]> {
  if (!finding) return [];
  if (yes || force || dryRun) return [finding];
  await confirm(
    {
      question: `${finding.sentence}.\nOn this host:${bulletList(lines)}\nWas it fenced on this host, and do you want to continue?`,
      consequence: finding.sentence,
      hint: `${finding.hint ?? ""}; if you are certain that it is: --yes`,
      otherwise: new MigrationError("other-machine", "nothing was undone: you answered no", {
        hint: "run it on the host that was fenced",
      }),
    },
    { terminal },
  );
  return [finding];
}

async function confirmNewServer(
  going: RollbackRequest,
  { terminal }: Pick<System, "terminal">,
): Promise<Finding[]> {
  const { newServer, folder, subject, complete, lines } = going;
  if (newServer.state === "closed") return [];
  if (newServer.state === "opened") {
    if (!going.force) throwAlreadyOpened(newServer.how);
    return [newServerOpen(newServer.how)];
  }
  if (!complete && newServer.why.length === 0) return [];
  const unknown = [
    ...newServer.why,
    ...(complete ? [`${folder} contains all of ${subject}: the new server may already be open`] : []),
  ].join("; ");
  const finding: Finding = {
    id: "new-server-unknown",
    level: "warning",
    sentence: unknown,
    hint: CHECK_HINT,
  };
  if (going.yes || going.force || going.dryRun) return [finding];
  await confirm(
    {
      question: `${unknown}.\nTwo servers with the same name must never run, and data written on the new one is not on this host. On this host:${bulletList(lines)}\nAre you certain that the new server was never opened, and do you want to continue?`,
      consequence: unknown,
      hint: `${CHECK_HINT}; if you are certain that it was never opened: --yes`,
      otherwise: new MigrationError("already-opened", "nothing was undone: you answered no", {
        hint: "the old server stays stopped and fenced; check whether the new one is open, then run this command again",
      }),
    },
    { terminal },
  );
  return [finding];
}

const CHECK_HINT =
  "check on the new host that it is not open; or let synlift check: --target with its address, or --config-dir if it was restored on this host";

const newServerOpen = (opened: string): Finding => ({
  id: "new-server-open",
  level: "warning",
  sentence: `${opened}: data written there since is not on this host, and two servers with the same name must never run`,
  hint: "stop the new server permanently before both can be reached",
});
