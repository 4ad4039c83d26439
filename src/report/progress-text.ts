import { escapeControls } from "./cells.ts";
import type { RunningTask } from "./running-tasks.ts";
import { formatAmount, formatClock, formatDuration, formatRate, formatShare, percentOf } from "./units.ts";

/** "media: begins, 2.7 GiB". */
export function describeBegin({ work: { label, unit, total } }: RunningTask): string {
  return escapeControls(
    total === undefined ? `${label}: begins` : `${label}: begins, ${formatAmount(total, unit)}`,
  );
}

/** "media: 45%, 1.2 / 2.7 GiB, 212 MiB/s, 12 s left". */
export function describeProgress(running: RunningTask): string {
  const { label, unit, total } = running.work;
  const { done, rate } = running;
  const percent = percentOf(done, total);
  const amount =
    percent === undefined ? formatAmount(done, unit) : `${percent}%, ${formatShare(done, total!, unit)}`;
  return escapeControls(`${label}: ${amount}, ${formatRate(rate, unit)}, ${describeTimeLeft(running)}`);
}

/** "media: done, 2.7 GiB in 13 s, 212 MiB/s". */
export function describeEnd({ work: { label, unit }, done, seconds, meanRate }: RunningTask): string {
  const amount = done > 0 ? `${formatAmount(done, unit)} ` : "";
  const rate = meanRate === undefined ? "" : `, ${formatRate(meanRate, unit)}`;
  return escapeControls(`${label}: done, ${amount}in ${formatDuration(seconds)}${rate}`);
}

/** "outage so far 0 min 42 s". */
export function describeOutage(seconds: number): string {
  return `outage so far ${formatClock(seconds)}`;
}

/** "outage over after 4 min 02 s". */
export function describeOutageEnd(seconds: number): string {
  return `outage over after ${formatDuration(seconds)}`;
}

/** "12 s left"; "- left" while it is unknown; "for 12 s" without a total. */
export function describeTimeLeft({ work: { total }, seconds, remaining }: RunningTask): string {
  // An estimate is not precise to tenths of a second.
  if (total === undefined) return `for ${formatDuration(Math.floor(seconds))}`;
  return `${formatDuration(remaining === undefined ? undefined : Math.ceil(remaining))} left`;
}
