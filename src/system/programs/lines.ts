import type { Bytes } from "../bytes.ts";

/**
 * The complete lines of a text, in batches as they arrive: awaiting a million lines one by one would take longer than
 * reading them. Text after the last line break is discarded.
 */
export async function* linesOf(output: Bytes): AsyncIterable<readonly string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield lines;
  }
}
