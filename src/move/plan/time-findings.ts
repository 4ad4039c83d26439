import type { Finding } from "../../report/finding.ts";
import type { Times } from "./agenda.ts";
import { formatDate } from "./dates.ts";

/** Whether the move can start at the given time. No finding when none was given. */
export function timeFindings({ now, when, named }: Times, safeFrom: number | undefined): Finding[] {
  if (!named) return [];
  if (when < now) {
    return [
      {
        id: "move-date",
        level: "warning",
        sentence: `the move is planned for ${formatDate(when)}, which is in the past`,
        hint: "choose a future time: --when",
      },
    ];
  }
  if (safeFrom === undefined || when >= safeFrom)
    return [{ id: "move-date", level: "ok", sentence: `the move can begin on ${formatDate(when)}` }];
  return [
    {
      id: "move-date",
      level: "warning",
      sentence: `on ${formatDate(when)} others may still have the old address cached, until ${formatDate(safeFrom)} if the TTLs are lowered now`,
      hint: "move later, or let the old host proxy all requests to the new one until then",
    },
  ];
}
