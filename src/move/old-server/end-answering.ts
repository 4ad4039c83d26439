import { join } from "node:path";
import { LOCK } from "../../bundle/layout.ts";
import { MigrationError } from "../../errors.ts";
import { FenceRecord } from "../../homeserver/service/fence/record.ts";
import { restoreWebServer } from "../../homeserver/service/fence/web-server.ts";
import { describeUndo } from "../../homeserver/service/undo.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/**
 * Throws `bad-usage` for a folder without a record of an export, and `other-machine` for one of another host: that one's
 * web server is not this one's.
 */
export async function assertAnswering(
  folder: string,
  system: Pick<System, "files" | "machine">,
): Promise<void> {
  const record = await FenceRecord.read(folder, system.files, system.machine);
  if (record === undefined)
    throw new MigrationError("bad-usage", `--maintenance: ${folder} is no folder of an export`, {
      hint: "give the folder that was given to export as --out, or leave it out",
    });
  record.assertMadeHere();
}

/**
 * Takes the maintenance answer of an export on this host away, once the new server runs. Never throws an expected failure:
 * the server is open, and a finding says what is left to do.
 */
export async function endAnswering(
  folder: string,
  isRunning: boolean,
  system: Pick<System, "files" | "machine" | "programs">,
): Promise<Finding[]> {
  const { files, machine } = system;
  const findings: Finding[] = [];
  try {
    const lock = await acquireLock(join(folder, LOCK), files, machine);
    try {
      const record = await FenceRecord.read(folder, files, machine);
      for (const change of record?.activeChanges ?? []) {
        if (change.kind !== "web-server") continue;
        const words = describeUndo(change, record!.supervisor);
        // The person starts it: until then clients go on to be told to wait.
        if (!isRunning) findings.push(leftToDo(words, "the new server is not started yet"));
        else {
          await restoreWebServer(change, system);
          await record!.undone(change);
          findings.push({ id: "maintenance-ended", level: "ok", sentence: words });
        }
      }
    } finally {
      await lock.release();
    }
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    findings.push(leftToDo("the maintenance answer is taken away", error.message));
  }
  return findings;
}

const leftToDo = (words: string, why: string): Finding => ({
  id: "maintenance-left",
  level: "warning",
  sentence: `still to do by hand: ${words}`,
  evidence: [why],
  hint: "clients are told to wait until then",
});
