import type { Finding } from "../../../report/finding.ts";
import type { Programs } from "../../../system/programs/programs.ts";

/** Milliseconds that timedatectl may take: it queries a service that may hang. */
const TIMEOUT_MS = 5000;

/** Whether the system clock is synchronized. No finding when that is unknown. */
export async function clockFindings(programs: Programs): Promise<Finding[]> {
  if ((await programs.find("timedatectl")) === undefined) return [];
  const said = await programs
    .run({
      name: "timedatectl",
      args: ["show", "--property=NTPSynchronized", "--value"],
      timeout: TIMEOUT_MS,
    })
    .catch(() => "");
  if (said.trim() === "yes")
    return [{ id: "clock", level: "ok", sentence: "the system clock is synchronized" }];
  if (said.trim() !== "no") return [];
  return [
    {
      id: "clock",
      level: "warning",
      sentence: "the system clock of this host is not synchronized",
      hint: "event timestamps and the expiry of tokens and certificates depend on it: timedatectl set-ntp true, on both hosts",
    },
  ];
}
