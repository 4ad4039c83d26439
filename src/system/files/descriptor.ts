import { fstatSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { isatty, ReadStream } from "node:tty";
import { MigrationError } from "../../errors.ts";

/** The maximum length of the first line in bytes. */
const LIMIT = 64 * 1024;

/**
 * The first line from an inherited file descriptor. Stops reading at the line break, because the other end may never be
 * closed. Throws `file-missing` when the descriptor is not open for reading, and the signal's reason.
 */
export async function readLine(descriptor: number, signal: AbortSignal): Promise<string> {
  const source = open(descriptor);
  const stop = () => source.destroy(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  let text = Buffer.alloc(0);
  try {
    signal.throwIfAborted();
    for await (const chunk of source) {
      text = Buffer.concat([text, chunk as Uint8Array]);
      if (text.includes(0x0a) || text.length > LIMIT) break;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    source.destroy();
  }
  return text.toString("utf8");
}

/** Pipes and terminals are read through the event loop, because a blocking read in a thread cannot be cancelled. */
function open(descriptor: number): Readable {
  try {
    const kind = fstatSync(descriptor);
    if (isatty(descriptor)) return new ReadStream(descriptor);
    if (kind.isFile()) return Readable.from([startOf(descriptor)]);
    if ((kind.isFIFO() || kind.isSocket()) && !isNodeInternal(descriptor)) {
      return new Socket({ fd: descriptor, readable: true, writable: false });
    }
  } catch {
    // It is not open; the error below says so.
  }
  throw new MigrationError("file-missing", `file descriptor ${descriptor} is not open for reading`, {
    hint: `open it in the shell: synlift … ${descriptor}< FILE`,
  });
}

/** Reading a file does not block, and the file must not be closed here. */
function startOf(descriptor: number): Uint8Array {
  const bytes = Buffer.alloc(LIMIT);
  return bytes.subarray(0, readSync(descriptor, bytes));
}

/** Node opens pipes itself and has both ends of them; of an inherited pipe another process has the writing end. */
function isNodeInternal(descriptor: number): boolean {
  const own = (name: string) => ({
    target: readlinkSync(`/proc/self/fd/${name}`),
    // proc(5), fdinfo: the access mode is in the lowest two bits, 1 is O_WRONLY.
    writes:
      (parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))?.[1] ?? "0", 8) &
        3) ===
      1,
  });
  const { target } = own(String(descriptor));
  return readdirSync("/proc/self/fd").some((name) => {
    try {
      const other = own(name);
      return other.writes && other.target === target;
    } catch {
      // The descriptor that listed the folder is gone again.
      return false;
    }
  });
}
