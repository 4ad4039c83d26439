import { fstatSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { isatty, ReadStream } from "node:tty";
import { MigrationError } from "../../errors.ts";

/** Bytes that somebody may send before the end of the first line. */
const LIMIT = 64 * 1024;

/**
 * The first line from a file descriptor that we inherited, without its end. Reads no further than it must: whoever holds
 * the other end may never close it. Throws `file-missing` when there is no such descriptor, and the signal's reason.
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

/** A pipe or a terminal is waited for by the event loop: a read that blocks a thread could never be taken back. */
function open(descriptor: number): Readable {
  try {
    const kind = fstatSync(descriptor);
    if (isatty(descriptor)) return new ReadStream(descriptor);
    if (kind.isFile()) return Readable.from([startOf(descriptor)]);
    if ((kind.isFIFO() || kind.isSocket()) && !isOurOwn(descriptor)) {
      return new Socket({ fd: descriptor, readable: true, writable: false });
    }
  } catch {
    // It is not open at all; said below.
  }
  throw new MigrationError("file-missing", `file descriptor ${descriptor} is not open for reading`, {
    hint: `open it in the shell: synlift … ${descriptor}< FILE`,
  });
}

/** A file never keeps us waiting, and is not ours to close. */
function startOf(descriptor: number): Uint8Array {
  const bytes = Buffer.alloc(LIMIT);
  return bytes.subarray(0, readSync(descriptor, bytes));
}

/** Node has pipes of its own, and holds their writing end too; of one that we inherited somebody else holds it. */
function isOurOwn(descriptor: number): boolean {
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
