import { escapeControls } from "./cells.ts";
import {
  describeBegin,
  describeEnd,
  describeOutage,
  describeOutageEnd,
  describeProgress,
} from "./progress-text.ts";
import { OutageTimer } from "./outage-timer.ts";
import type { ProgressOutput, ProgressView } from "./progress-view.ts";
import { RunningTasks } from "./running-tasks.ts";

/**
 * Progress for logs and pipes: a line when a task begins, one 10 seconds later and then every 30, and one when it ends.
 * With a timer, a task that hangs is still reported.
 */
export function progressLines({ write, clock, repeat }: ProgressOutput): ProgressView {
  const works = new RunningTasks(() => clock.elapsed());
  /** When the next line of each task is due. */
  const due = new Map<string, number>();
  let running: OutageTimer | undefined;
  let stopped = false;
  /** When the next line about the state is due. */
  let stateDue = -Infinity;
  const stopTimer = repeat?.(1000, () => {
    for (const { work } of works.all()) tellWhenDue(work.id);
  });

  const say = (line: string) => {
    write(`${escapeControls(line)}\n`);
  };

  function tellWhenDue(id: string): void {
    if (stopped || clock.elapsed() < (due.get(id) ?? Infinity)) return;
    due.set(id, clock.elapsed() + LATER);
    const outage = running === undefined ? "" : `, ${describeOutage(running.seconds)}`;
    say(`${describeProgress(works.find(id)!)}${outage}`);
  }

  return {
    begin(work) {
      const running = works.begin(work);
      due.set(work.id, clock.elapsed() + FIRST);
      if (!stopped) say(describeBegin(running));
    },
    advance(id, units) {
      if (works.advance(id, units)) tellWhenDue(id);
    },
    end(id) {
      const last = works.end(id);
      due.delete(id);
      if (last) say(describeEnd(last));
    },
    remark({ label }, why) {
      say(`${label}: ${why}`);
    },
    note(sentence) {
      say(sentence);
    },
    outage(since) {
      const before = running;
      running = since === undefined ? undefined : new OutageTimer(since, clock);
      if (running === undefined && before !== undefined) say(describeOutageEnd(before.seconds));
      if (running !== undefined && before === undefined) say(describeOutage(running.seconds));
    },
    live(state) {
      if (stopped || state === undefined || clock.elapsed() < stateDue) return;
      stateDue = clock.elapsed() + STATE;
      say(state.sentence);
    },
    stop() {
      stopped = true;
      stopTimer?.();
    },
  };
}

/** Milliseconds. */
const FIRST = 10_000;
const LATER = 30_000;
/** Between two lines about a state that lasts for days. */
const STATE = 60_000;
