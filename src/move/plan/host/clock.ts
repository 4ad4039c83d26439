import type { Finding } from "../../../report/finding.ts";
import type { Programs } from "../../../system/programs/programs.ts";

/** Milliseconds that timedatectl gets to answer: it asks a service that may hang. */
const PATIENCE = 5000;

/** Whether the system's clock follows a time server. No finding where nobody can tell. */
export async function clockFindings(programs: Programs): Promise<Finding[]> {
  if ((await programs.find("timedatectl")) === undefined) return [];
  const said = await programs
    .run({ name: "timedatectl", args: ["show", "--property=NTPSynchronized", "--value"], limit: PATIENCE })
    .catch(() => "");
  if (said.trim() === "yes")
    return [{ id: "clock", level: "ok", sentence: "the clock follows a time server" }];
  if (said.trim() !== "no") return [];
  return [
    {
      id: "clock",
      level: "warning",
      sentence: "the clock of this host follows no time server",
      hint: "events are dated by it, and tokens and certificates end by it: timedatectl set-ntp true, on both hosts",
    },
  ];
}
