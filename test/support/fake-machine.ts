import { hostname } from "node:os";
import { type Machine, realMachine } from "../../src/system/machine.ts";

/** The real machine, but for what a test says. */
export function machineWith(given: Partial<Machine> = {}): Machine {
  return { ...realMachine(process.pid, "/"), ...given };
}

/** Machines of one host on which only the processes of `starts` (process id → start time) are alive. */
export function machineOf(pid: number, starts: Readonly<Record<number, string>>, host = hostname()): Machine {
  return machineWith({ pid, hostname: host, processStart: (asked) => starts[asked] });
}
