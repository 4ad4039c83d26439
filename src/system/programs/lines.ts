import type { Bytes } from "../bytes.ts";

/**
 * A text's whole lines, as many at a time as have come: to wait for each of a million by itself would take longer than
 * to read it. What follows the last line break is left out.
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
