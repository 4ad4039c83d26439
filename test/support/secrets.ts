import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Every regular file below a folder. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .sort();
}

/** Looks at the command line of every process of this host, over and over, as any user of it could. */
export function watchProcesses(): { stop(): string[] } {
  const seen = new Set<string>();
  const look = () => {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        seen.add(readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        // Gone in between.
      }
    }
  };
  const timer = setInterval(look, 10).unref();
  return {
    stop() {
      clearInterval(timer);
      return [...seen];
    },
  };
}
