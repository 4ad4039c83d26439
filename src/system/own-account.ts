import { lstatSync } from "node:fs";
import { userInfo } from "node:os";

export interface OwnAccount {
  readonly uid: number;
  readonly name: string;
}

/**
 * The account that this process runs as. It may be a number without a name, as in a container that was started with one: the
 * number is then its name. proc(5): /proc/self belongs to it.
 */
export function ownAccount(look: () => { uid: number; username: string } = userInfo): OwnAccount {
  try {
    const { uid, username: name } = look();
    return { uid, name };
  } catch {
    const { uid } = lstatSync("/proc/self");
    return { uid, name: String(uid) };
  }
}
