import type { Screen } from "../../src/report/progress-view.ts";

/** A screen on which time passes only when told, and a timer that fires while it does. */
export function stage(columns = 80) {
  let ms = 0;
  let width = columns;
  let written = "";
  const timers = new Set<{ every: number; next: number; act: () => void }>();
  const screen: Screen = {
    write: (text) => (written += text),
    clock: { now: () => START + ms, elapsed: () => ms },
    columns: () => width,
    colour: false,
    repeat: (milliseconds, act) => {
      const timer = { every: milliseconds, next: ms + milliseconds, act };
      timers.add(timer);
      return () => timers.delete(timer);
    },
  };
  return {
    screen,
    pass: (milliseconds: number) => {
      const until = ms + milliseconds;
      for (;;) {
        const due = [...timers].filter(({ next }) => next <= until).sort((a, b) => a.next - b.next)[0];
        if (!due) break;
        ms = due.next;
        due.next += due.every;
        due.act();
      }
      ms = until;
    },
    resize: (to: number) => (width = to),
    /** What was written since it was last asked. */
    take: () => {
      const text = written;
      written = "";
      return text;
    },
    timers: () => timers.size,
  };
}

export const START = Date.UTC(2026, 8, 1, 2, 30);

/**
 * What a terminal shows after these bytes: as much of one as the bars use, and an error for anything else.
 * Lines that are too wide are kept as they are, so that a test can see them.
 */
export function shown(bytes: string): string {
  const rows = [""];
  let row = 0;

  for (const [part] of bytes.matchAll(/\u001b\[[0-9;]*[A-Za-z]|[\n\r]|[^\u001b\n\r]+|\u001b/g)) {
    const up = /^\u001b\[(\d+)A$/.exec(part);
    if (up) row = Math.max(0, row - Number(up[1]));
    else if (part === "\u001b[2K") rows[row] = "";
    else if (part === "\n") rows[++row] ??= "";
    else if (part === "\r") continue;
    else if (part.startsWith("\u001b"))
      throw new Error(`an escape sequence nobody expected: ${JSON.stringify(part)}`);
    else rows[row] = part;
  }
  if (rows.slice(row + 1).some((text) => text !== "")) throw new Error("something was left below the cursor");
  return rows.slice(0, row + 1).join("\n");
}
