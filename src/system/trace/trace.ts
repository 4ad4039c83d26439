/** What a span is of: the whole command, a stage or step of it, a task that reports progress, a program, or waiting. */
export type SpanKind = "command" | "stage" | "step" | "task" | "program" | "wait";

/** What is told of a span besides its name. No secrets, no arguments of programs, no names of people or rooms. */
export type SpanFacts = Readonly<Record<string, string | number | boolean | null>>;

/** Takes the spans of a run. Times are milliseconds of `performance.now()`. Every call returns at once and never throws. */
export interface TraceSink {
  /** Returns what `end` is to be called with. */
  begin(kind: SpanKind, name: string, at: number): number;
  end(span: number, at: number, facts: SpanFacts): void;
  /** Something short that happens too often for a span of its own. */
  add(name: string, milliseconds: number): void;
}

/** One for the process: what is traced lies so deep that handing it down would add a parameter to most functions. */
let sink: TraceSink | undefined;

/** Sends everything from now on to a sink, until the returned function is called. */
export function traceTo(given: TraceSink): () => void {
  sink = given;
  return () => {
    if (sink === given) sink = undefined;
  };
}

/** Begins a span; the returned function ends it. Does nothing when nobody traces. */
export function beginSpan(kind: SpanKind, name: string): (facts?: SpanFacts) => void {
  if (sink === undefined) return NOT_TRACED;
  const [to, span] = [sink, sink.begin(kind, name, performance.now())];
  return (facts = {}) => {
    to.end(span, performance.now(), facts);
  };
}

const NOT_TRACED = () => undefined;

/** A span around some work. A failure is noted with its code; its message is not, as it may name anything. */
export async function traced<T>(kind: SpanKind, name: string, act: () => Promise<T>): Promise<T> {
  if (sink === undefined) return act();
  const end = beginSpan(kind, name);
  try {
    const result = await act();
    end();
    return result;
  } catch (error) {
    end({ failed: (error as { code?: string }).code ?? "interrupted or unexpected" });
    throw error;
  }
}

/** For `addTime`: when something short begins; undefined when nobody traces. */
export const shortTime = (): number | undefined => (sink === undefined ? undefined : performance.now());

/** Something short has ended, of which only the number and the time in all are recorded. */
export function addTime(name: string, began: number | undefined): void {
  if (began !== undefined) sink?.add(name, performance.now() - began);
}
