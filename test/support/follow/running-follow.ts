import { setTimeout as wait } from "node:timers/promises";
import { type Ran, synlift } from "../synlift.ts";
import { killAtOnce } from "./found-processes.ts";
import type { NewSide } from "./two-sides.ts";

/** A `synlift follow` that runs until it is asked to stop. */
export interface RunningFollow {
  readonly pid: number;
  /** How it ended. */
  readonly ended: Promise<Ran>;
  readonly hasEnded: () => boolean;
  /** Whether it has made the copy, and looks at it. */
  readonly isLive: () => boolean;
  /** Asks it to end, as Ctrl-C does. */
  interrupt(): Promise<Ran>;
  /** As a power cut would. */
  kill(): Promise<Ran>;
}

/** Starts it, with further options. */
export function startFollow({ follow }: Pick<NewSide, "follow">, ...more: string[]): RunningFollow {
  let pid = 0;
  let hasEnded = false;
  let isLive = false;
  const ended = synlift([...follow, ...more], {
    started: (child) => (pid = child.pid ?? 0),
    killWhen: (said) => {
      isLive ||= said.includes('"type":"live"');
      return false;
    },
  });
  void ended.then(
    () => (hasEnded = true),
    () => (hasEnded = true),
  );
  return {
    pid,
    ended,
    isLive: () => isLive,
    hasEnded: () => hasEnded,
    interrupt: () => {
      process.kill(pid, "SIGINT");
      return ended;
    },
    kill: () => {
      killAtOnce({ pid, line: "" });
      return ended;
    },
  };
}

/**
 * Waits until the copy has everything up to this position of the old server's log, and is looked at. After several failures in a row
 * synlift waits for up to a minute by itself.
 */
export async function untilFollows(
  { sql }: Pick<NewSide, "sql">,
  position: string,
  running?: RunningFollow,
  seconds = 180,
): Promise<void> {
  let words = "";
  for (const limit = performance.now() + seconds * 1000; ;) {
    await wait(50);
    if (running?.hasEnded() === true) {
      const { code, stderr } = await running.ended;
      throw new Error(`synlift follow ended with ${code ?? "?"}: ${stderr.slice(-3000)}`);
    }
    try {
      const done = await sql(`select coalesce(pg_last_wal_replay_lsn() >= '${position}', false)`, "postgres");
      if (done === "t" && running?.isLive() !== false) return;
      words = await sql("select pg_last_wal_replay_lsn()", "postgres");
    } catch (error) {
      words = String(error);
    }
    if (performance.now() > limit) {
      const said = running ? (await running.interrupt()).stderr.slice(-3000) : "";
      throw new Error(`the copy is not at ${position} in ${seconds} s: ${words}\n${said}`);
    }
  }
}
