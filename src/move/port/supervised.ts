import type { ProgramCall, Programs } from "../../system/programs/programs.ts";
import { linesOf } from "../../system/programs/lines.ts";
import type { Machine } from "../../system/machine.ts";

/** A program that ends with this run, however this run ends. */
export interface Supervised {
  /** Its lines, standard output and error together, as they come. Read it to the end. */
  readonly lines: AsyncIterable<readonly string[]>;
  /** Ends it and returns its exit status; 128 + N for a signal N. Called after it has ended, it only returns the status. */
  end(): Promise<number | null>;
}

/**
 * The program runs beside a watch that reads from standard input: when that is closed, also because this process was
 * killed, the watch sends it the signal. Both outputs become one, in their order.
 */
const SUPERVISE = `
exec 4<&0
signal=$1
shift
"$@" </dev/null 2>&1 4<&- &
child=$!
{ read -r line; kill -s "$signal" "$child"; } <&4 >/dev/null 2>&1 &
watch=$!
wait "$child"
status=$?
kill "$watch" 2>/dev/null
# Its last words may have no line break.
echo
exit "$status"
`;

/** Starts it. KILL for what must not finish its work in a hurry, TERM for a server. Throws `program-missing`. */
export async function startSupervised(
  { name, args, ...call }: ProgramCall,
  signal: "KILL" | "TERM",
  programs: Pick<Programs, "start">,
): Promise<Supervised> {
  const program = await programs.start({
    ...call,
    name: "sh",
    args: ["-c", SUPERVISE, "sh", signal, name, ...args],
  });
  return {
    lines: withoutEmpty(linesOf(program.output)),
    end: async () => (await program.close()).code,
  };
}

async function* withoutEmpty(batches: AsyncIterable<readonly string[]>): AsyncIterable<readonly string[]> {
  for await (const lines of batches) {
    const some = lines.filter((line) => line !== "");
    if (some.length > 0) yield some;
  }
}

/**
 * The items as they come. Throws what `late` makes when there is none for `limit` milliseconds. Whoever stops early, or is
 * told so, ends the source himself: the rest is then read and thrown away, without which a program's pipe would stay open.
 */
export async function* unlessSilent<T>(
  items: AsyncIterable<T>,
  limit: number,
  { machine, late }: { machine: Pick<Machine, "wait">; late: () => Error },
): AsyncIterable<T> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  let complete = false;
  try {
    for (;;) {
      const heard = new AbortController();
      const silence = machine.wait(limit, heard.signal).then(
        () => true,
        () => false,
      );
      const first = await Promise.race([next, silence]).finally(() => {
        heard.abort();
      });
      if (first === true) throw late();
      const item = await next;
      if (item.done === true) {
        complete = true;
        return;
      }
      yield item.value;
      next = iterator.next();
    }
  } catch (error) {
    // The source itself has failed.
    complete ||= await Promise.race([
      next.then(
        () => false,
        () => true,
      ),
      Promise.resolve(false),
    ]);
    throw error;
  } finally {
    if (!complete) void drain(iterator, next);
  }
}

async function drain<T>(iterator: AsyncIterator<T>, next: Promise<IteratorResult<T>>): Promise<void> {
  try {
    while ((await next).done !== true) next = iterator.next();
  } catch {
    // It was ended, and nobody waits for it.
  }
}
