import type { Programs } from "./programs.ts";

/** Milliseconds: a service that hangs must not block this run. */
const TIMEOUT_MS = 10_000;

/** What a program prints, or undefined when it is not installed. Ends it after 10 seconds. Throws `program-failed`. */
export async function askProgram(
  name: string,
  args: readonly string[],
  programs: Programs,
): Promise<string | undefined> {
  if ((await programs.find(name)) === undefined) return undefined;
  return programs.run({ name, args, timeout: TIMEOUT_MS });
}
