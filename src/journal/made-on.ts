import { MigrationError } from "../errors.ts";
import type { Machine } from "../system/machine.ts";

/** The machine that made a record. */
export interface MadeOn {
  /** See `Machine.hostId`. */
  readonly id: string;
  /** For people, and to tell clones apart. */
  readonly hostname: string;
}

export const thisMachine = ({ hostId, hostname }: HostNames): MadeOn => ({ id: hostId, hostname });

type HostNames = Pick<Machine, "hostId" | "hostname">;

/**
 * The other machine that made a record; undefined when this one did, or when the record does not say. A clone of a virtual
 * machine has the id of its original, so the host name has to be the same as well.
 */
export function madeElsewhere(madeOn: MadeOn | undefined, machine: HostNames): MadeOn | undefined {
  if (madeOn === undefined) return undefined;
  return madeOn.id === machine.hostId && madeOn.hostname === machine.hostname ? undefined : madeOn;
}

/** The refusal to act on such a record. */
export function otherMachineError(path: string, { id, hostname }: MadeOn, machine: HostNames) {
  const sameId = id === machine.hostId;
  return new MigrationError(
    "other-machine",
    `${path} was made on ${hostname}, and this is ${sameId ? `${machine.hostname}, which has the same machine id` : machine.hostname === hostname ? "another machine of that name" : machine.hostname}`,
    {
      hint: sameId
        ? `if this is a clone of ${hostname}, run it there; if ${hostname} was renamed, give it its old name for this command: hostname ${hostname}`
        : `run it on ${hostname}: what the record says holds only there`,
    },
  );
}
