import { z } from "zod";
import type { Bytes } from "../system/bytes.ts";

/** What a line of rclone's log says. */
export interface RcloneEvent {
  readonly level: string;
  readonly message: string;
  /** Bytes sent so far, where the line has statistics. */
  readonly bytes: number | undefined;
}

const line = z.object({
  level: z.string().default(""),
  msg: z.string().default(""),
  stats: z.object({ bytes: z.number() }).optional(),
});

/** Longest line that is read; a longer one is cut. */
const MOST = 64 * 1024;

/** Reads a log of rclone (--use-json-log) line by line. What is no JSON is passed on as an error's message. */
export async function* rcloneEvents(output: Bytes): AsyncGenerator<RcloneEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!.slice(0, MOST);
    for (const text of lines) yield* eventOf(text);
  }
  yield* eventOf(rest);
}

function* eventOf(text: string): Iterable<RcloneEvent> {
  if (text.trim() === "") return;
  try {
    const { level, msg, stats } = line.parse(JSON.parse(text));
    yield { level, message: msg.trim(), bytes: stats?.bytes };
  } catch {
    yield { level: "error", message: text.trim(), bytes: undefined };
  }
}
