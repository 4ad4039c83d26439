import { beginSpan, type SpanFacts } from "../system/trace/trace.ts";
import type { ProgressView } from "./progress-view.ts";

/** A view that also traces: a span for each task, and one for the outage as far as this run sees it. */
export function tracedView(view: ProgressView): ProgressView {
  const running = new Map<string, { end: (facts?: SpanFacts) => void; unit: string; done: number }>();
  let endOutage: (() => void) | undefined;
  const endTask = (id: string, facts: SpanFacts) => {
    const task = running.get(id);
    running.delete(id);
    task?.end({ [task.unit]: task.done, ...facts });
  };
  return {
    begin(work) {
      endTask(work.id, { "begun again": true });
      running.set(work.id, { end: beginSpan("task", work.id), unit: work.unit, done: 0 });
      view.begin(work);
    },
    advance(id, units) {
      const task = running.get(id);
      if (task) task.done += units;
      view.advance(id, units);
    },
    end(id) {
      endTask(id, {});
      view.end(id);
    },
    remark(work, why) {
      view.remark(work, why);
    },
    note(sentence) {
      view.note(sentence);
    },
    outage(since) {
      if (since === undefined) {
        endOutage?.();
        endOutage = undefined;
      } else endOutage ??= beginSpan("stage", "outage");
      view.outage(since);
    },
    live(state) {
      view.live(state);
    },
    stop() {
      for (const id of [...running.keys()]) endTask(id, { unfinished: true });
      view.stop();
    },
  };
}
