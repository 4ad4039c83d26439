import type { Machine } from "../system/machine.ts";
import type { Progress } from "../system/progress.ts";

/** Progress that somebody looks at. Whoever made it calls `stop`, also after a failure. */
export interface ProgressView extends Progress {
  /** The outage clock runs from here (milliseconds since 1970), until it is called with undefined. */
  outage(since: number | undefined): void;
  /** Takes what is unfinished off the screen and ends the timer. May be called twice; notes still come through after it. */
  stop(): void;
}

/** What a view writes to and learns the time from. */
export interface Outlet {
  /** Never throws. */
  readonly write: (text: string) => void;
  readonly clock: Pick<Machine, "now" | "elapsed">;
  /** Runs `act` every so often until the function it hands back is called. Without it a view changes only when it is told something. */
  readonly every?: (milliseconds: number, act: () => void) => () => void;
}

/** An outlet that can be drawn over. */
export interface Screen extends Outlet {
  /** Asked each time something is drawn, since windows change their size. */
  readonly columns: () => number;
  /** Its height; 24 when nobody knows. */
  readonly rows?: () => number;
  readonly colour: boolean;
}
