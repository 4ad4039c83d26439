import type { Finding } from "../../report/finding.ts";
import type { Times } from "./agenda.ts";
import { dateWords } from "./dates.ts";

/** Whether the time that somebody named for the move can be. No finding where nobody named one. */
export function timeFindings({ now, when, named }: Times, safeFrom: number | undefined): Finding[] {
  if (!named) return [];
  if (when < now) {
    return [
      {
        id: "when",
        level: "warning",
        sentence: `the move is planned for ${dateWords(when)}, which is over`,
        hint: "name a time to come: --when",
      },
    ];
  }
  if (safeFrom === undefined || when >= safeFrom)
    return [{ id: "when", level: "ok", sentence: `the move can begin on ${dateWords(when)}` }];
  return [
    {
      id: "when",
      level: "warning",
      sentence: `on ${dateWords(when)} others may still have the old address; that ends on ${dateWords(safeFrom)}, if the times to live are lowered now`,
      hint: "move later, or let the old host pass everything on to the new one until then",
    },
  ];
}
