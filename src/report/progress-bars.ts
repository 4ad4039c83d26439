import { barLines, type DrawnLine } from "./bar-lines.ts";
import { escapeControls, truncate, widthOf, wrap } from "./cells.ts";
import { paint } from "./colour.ts";
import { OutageTimer } from "./outage-timer.ts";
import { describeEnd, describeOutage, describeOutageEnd } from "./progress-text.ts";
import type { ProgressView, Screen } from "./progress-view.ts";
import { RunningTasks } from "./running-tasks.ts";

/**
 * Progress in a terminal: one line for each running task, redrawn at most ten times a second. Finished tasks, remarks
 * and notes become permanent lines above them.
 *
 * Between calls the cursor is at the start of the line below, so that a killed run leaves a usable prompt. Nothing else
 * may write to the same terminal before `stop`.
 */
export function progressBars({ write, clock, repeat, columns, rows, colour }: Screen): ProgressView {
  const works = new RunningTasks(() => clock.elapsed());
  let drawn: readonly DrawnLine[] = [];
  let drawnAt = -Infinity;
  let outage: OutageTimer | undefined;
  let state: string | undefined;
  let stopped = false;
  const stopTimer = repeat?.(TICK, () => {
    if ((works.size > 0 || outage !== undefined) && isDue()) draw();
  });

  /** A single write avoids flicker: cursor movement, permanent lines, running lines. */
  function draw(lasting: readonly string[] = []): void {
    const width = usableWidth();
    const back = eraseSequence(drawn, columns());
    drawn = stopped ? [] : frame(width);
    drawnAt = clock.elapsed();
    write(back + [...lasting, ...drawn.map(({ text }) => text)].map((line) => `${line}\n`).join(""));
  }

  function frame(width: number): DrawnLine[] {
    const running = works.all();
    // One line is for the cursor and one for the outage clock; lines that scrolled out of view can't be redrawn.
    const others = (outage === undefined ? 0 : 1) + (state === undefined ? 0 : 1);
    const room = Math.min(MOST_LINES, Math.max(1, (rows?.() ?? 24) - 1 - others));
    const hidden = running.length > room ? running.length - (room - 1) : 0;
    const lines = barLines(running.slice(0, running.length - hidden), width, colour);
    if (hidden > 0) lines.push(plainLine(`… and ${hidden} more`, width));
    if (state !== undefined) lines.push(plainLine(escapeControls(state), width));
    if (outage !== undefined) {
      const { text, cells } = plainLine(describeOutage(outage.seconds), width);
      lines.push({ text: paint(text, "yellow", colour), cells });
    }
    return lines;
  }

  function save(sentence: string): void {
    const [first = "", ...rest] = wrap(escapeControls(sentence), usableWidth());
    draw([first, ...rest.map((line) => `  ${line}`)]);
  }

  const isDue = () => clock.elapsed() - drawnAt >= SHORTEST;
  // Writing into the last column makes some terminals wrap.
  const usableWidth = () => Math.max(1, columns() - 1);

  return {
    begin(work) {
      works.begin(work);
      if (!stopped) draw();
    },
    advance(id, units) {
      if (works.advance(id, units) && !stopped && isDue()) draw();
    },
    end(id) {
      const last = works.end(id);
      if (last) save(describeEnd(last));
    },
    remark({ label }, why) {
      save(`${label}: ${why}`);
    },
    note(sentence) {
      save(sentence);
    },
    outage(since) {
      const before = outage;
      outage = since === undefined ? undefined : new OutageTimer(since, clock);
      if (since === undefined && before !== undefined) save(describeOutageEnd(before.seconds));
      else if (!stopped) draw();
    },
    live(now) {
      state = now?.sentence;
      if (!stopped) draw();
    },
    stop() {
      if (stopped) return;
      stopped = true;
      stopTimer?.();
      if (drawn.length > 0) draw();
    },
  };
}

/**
 * Erases row by row, because some terminals treat "clear to the end" from the top row as `clear` and save every frame.
 * Terminals rewrap lines when the window gets narrower, so one line may occupy several rows by now.
 */
function eraseSequence(drawn: readonly DrawnLine[], columns: number): string {
  const rows = drawn.reduce(
    (sum, { cells }) => sum + Math.max(1, Math.ceil(cells / Math.max(1, columns))),
    0,
  );
  const up = `\u001b[${rows}A\r`;
  return rows === 0 ? "" : `${up}${"\u001b[2K\n".repeat(rows)}${up}`;
}

function plainLine(sentence: string, width: number): DrawnLine {
  const text = truncate(sentence, width);
  return { text, cells: widthOf(text) };
}

/** Milliseconds. */
const SHORTEST = 100;
const TICK = 250;
/** The maximum number of task lines. */
const MOST_LINES = 8;
