import type { Machine } from "../system/machine.ts";
import type { Progress } from "../system/progress.ts";
import type { Json } from "./json.ts";

/** How something that has no end is at the moment. */
export interface LiveState {
  /** For people, on one line. */
  readonly sentence: string;
  /** For scripts. */
  readonly details: Readonly<Record<string, Json>>;
}

/** Progress that is displayed. The caller must call `stop`, also after a failure. */
export interface ProgressView extends Progress {
  /** Starts the outage clock at this time (milliseconds since 1970); undefined stops it. */
  outage(since: number | undefined): void;
  /** Shows how something is at the moment, in place of the last such state; undefined shows none any more. */
  live(state: LiveState | undefined): void;
  /** Removes running tasks from the screen and stops the timer. May be called twice; notes are still shown after it. */
  stop(): void;
}

/** What a view needs: an output, a clock and a timer. */
export interface ProgressOutput {
  /** Never throws. */
  readonly write: (text: string) => void;
  readonly clock: Pick<Machine, "now" | "elapsed">;
  /** Runs `act` repeatedly until the returned function is called. Without it a view is updated only by calls. */
  readonly repeat?: (milliseconds: number, act: () => void) => () => void;
}

/** An output that can be redrawn. */
export interface Screen extends ProgressOutput {
  /** Called on every redraw, because the window size may change. */
  readonly columns: () => number;
  /** The height in lines; 24 when unknown. */
  readonly rows?: () => number;
  readonly colour: boolean;
}
