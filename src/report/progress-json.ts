import { type Json, jsonLine } from "./json.ts";
import { OutageTimer } from "./outage-timer.ts";
import type { ProgressOutput, ProgressView } from "./progress-view.ts";
import { type RunningTask, RunningTasks } from "./running-tasks.ts";

/** Progress for scripts: one JSON object per line, at most one `progress` per second and task. See docs/json.md. */
export function progressJson({ write, clock }: ProgressOutput): ProgressView {
  const works = new RunningTasks(() => clock.elapsed());
  const told = new Map<string, number>();
  let running: OutageTimer | undefined;
  let stopped = false;
  let stateDue = -Infinity;

  function tell(type: string, fields: Readonly<Record<string, Json>>): void {
    write(jsonLine({ type, time: new Date(clock.now()).toISOString(), ...fields }));
  }

  function tellWork(type: string, running: RunningTask, more: Readonly<Record<string, Json>> = {}): void {
    told.set(running.work.id, clock.elapsed());
    tell(type, { ...workFields(running), ...more });
  }

  return {
    begin(work) {
      const running = works.begin(work);
      if (!stopped) tellWork("begin", running);
    },
    advance(id, units) {
      if (!works.advance(id, units) || stopped) return;
      if (clock.elapsed() - (told.get(id) ?? -Infinity) >= SHORTEST) tellWork("progress", works.find(id)!);
    },
    end(id) {
      const last = works.end(id);
      if (last)
        tellWork("end", { ...last, rate: last.meanRate, remaining: 0 }, { seconds: tidy(last.seconds) });
      told.delete(id);
    },
    remark({ id, label }, why) {
      tell("remark", { id, label, why });
    },
    note(sentence) {
      tell("note", { sentence });
    },
    outage(since) {
      const started = since === undefined ? undefined : new OutageTimer(since, clock);
      const told = started ?? running;
      running = started;
      if (told === undefined) return;
      const [from, seconds] = [new Date(told.since).toISOString(), tidy(told.seconds)];
      tell("outage", { since: from, seconds, over: since === undefined });
    },
    live(state) {
      if (stopped || state === undefined || clock.elapsed() < stateDue) return;
      stateDue = clock.elapsed() + STATE;
      tell("live", { sentence: state.sentence, details: state.details });
    },
    stop() {
      stopped = true;
    },
  };
}

function workFields({ work: { id, label, unit, total }, done, rate, remaining }: RunningTask) {
  return { id, label, unit, done, total: total ?? null, rate: tidy(rate), remaining: tidy(remaining) };
}

/** Rounded to thousandths, to keep lines short. */
const tidy = (value: number | undefined) => (value === undefined ? null : Math.round(value * 1000) / 1000);

/** Milliseconds. */
const SHORTEST = 1000;
/** Between two states. */
const STATE = 10_000;
