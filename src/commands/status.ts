import { join, resolve } from "node:path";
import { z } from "zod";
import { LOCK, MANIFEST } from "../bundle/layout.ts";
import { type CurrentProgress, readProgress } from "../bundle/progress-file.ts";
import { isHolderGone, readLockHolder } from "../journal/lock.ts";
import { HANDED_OVER, SENT_DIRECTLY } from "../move/direct/sender-state.ts";
import { changedSinceFenced, fenceFindings } from "../move/old-server/changed-since.ts";
import { readExportState } from "../move/old-server/export-state.ts";
import type { Finding } from "../report/finding.ts";
import { formatAmount, formatBytes, formatShare } from "../report/units.ts";
import type { Command } from "./command.ts";
import { parseOptions } from "./options/shared.ts";

const schema = z.object({ out: z.string().min(1) });

export const statusCommand: Command<z.infer<typeof schema>> = {
  name: "status",
  summary: "Show the progress of an export. Changes nothing; may be run during the export.",
  options: [
    {
      heading: "Common options",
      options: [{ flags: "--out <folder>", about: "folder of the bundle", required: true }],
    },
  ],
  example: "synlift status --out /srv/move",
  parse: (given) => parseOptions(schema, given),

  async run({ out }, system) {
    const { files, machine } = system;
    const folder = resolve(machine.folder, out);
    const { journal, record: fence, ...begun } = await readExportState(folder, system);
    const holder = await readLockHolder(join(folder, LOCK), files);
    const running = holder !== undefined && !isHolderGone(holder, machine);
    const now = running ? await readProgress(folder, files) : undefined;
    const sealed = (await files.lstat(join(folder, MANIFEST))) !== undefined;
    const { facts = {}, steps: done = {} } = journal ?? {};
    const { subject = fence?.subject ?? "", kind = "move", outageSince } = facts;
    const [road, handedOver] = [facts[SENT_DIRECTLY] !== undefined, facts[HANDED_OVER]];
    const steps = Object.entries(done);
    const rolledBackAt = fence?.rolledBackAt;
    const findings: Finding[] = [
      ...begun.findings,
      ...steps
        .filter(([, { outcome }]) => outcome["name"] !== undefined)
        .map(([id, { outcome, at }]) => {
          const size = typeof outcome["size"] === "number" ? `, ${formatBytes(outcome["size"])}` : "";
          return {
            id,
            level: "ok" as const,
            sentence: `${String(outcome["name"])} was finished on ${at}${size}`,
          };
        }),
      running
        ? now
          ? {
              id: "running",
              level: "note",
              sentence: `process ${holder.pid} on ${holder.host} is working on it: ${nowWords(now)}`,
            }
          : {
              id: "running",
              level: "note",
              sentence: `process ${holder.pid} on ${holder.host} has been working on it since ${holder.since}`,
            }
        : sealed
          ? { id: "sealed", level: "ok", sentence: "the bundle is sealed: it is complete" }
          : handedOver !== undefined
            ? {
                id: "transfer-complete",
                level: "ok",
                sentence: `the new host has had everything since ${handedOver}`,
              }
            : rolledBackAt !== undefined && steps.every(([, { at }]) => at < rolledBackAt)
              ? {
                  id: "rolled-back",
                  level: "note",
                  sentence: `cancelled by rollback on ${rolledBackAt}: the old server may run; to move after all, ${road ? "run the same pull again on the new host" : "run the export again, into this folder or a new one"}`,
                }
              : {
                  id: "interrupted",
                  level: "warning",
                  sentence: "no process is working on it, and it is not complete",
                  hint: `run the same ${road ? "pull again on the new host" : "export again"}: it continues where it stopped`,
                },
      ...fenceFindings(fence),
      ...(fence && !running ? await changedSinceFenced(fence, road, system) : []),
    ];
    return {
      findings,
      details: {
        folder,
        subject,
        kind,
        running,
        sealed,
        handedOver: handedOver ?? null,
        outageSince: outageSince ?? null,
        fenced: (fence?.activeChanges.length ?? 0) > 0,
        now: now ?? null,
        steps: steps.map(([id]) => id),
      },
      lines: [`${kind === "rehearsal" ? "a rehearsal of " : "the move of "}${subject}, in ${folder}`],
    };
  },
};

const nowWords = ({ label, unit, done, total }: CurrentProgress) =>
  `${label}, ${total === null ? formatAmount(done, unit) : formatShare(done, total, unit)}`;
