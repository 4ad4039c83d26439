import type { Programs } from "./programs.ts";

/** Milliseconds: a service that hangs must not hang us. */
const LIMIT = 10_000;

/** What a program says that is only asked something, or undefined when it is not installed. Throws `program-failed`. */
export async function askProgram(
  name: string,
  args: readonly string[],
  programs: Programs,
): Promise<string | undefined> {
  if ((await programs.find(name)) === undefined) return undefined;
  return programs.run({ name, args, limit: LIMIT });
}
