import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { toTemporaryError } from "../files/file-errors.ts";
import { ownAccount } from "../own-account.ts";

/** The process that made a home, and how to tell whether it still runs. */
export interface HomeOwner {
  readonly pid: number;
  /** See `Machine.hostId`. */
  readonly hostId: string;
  /** See `Machine.processStart`. */
  readonly processStart: (pid: number) => string | undefined;
}

const PREFIX = "synlift-gpg-";
/** In the home, beside gpg's own files. */
const OWNER = "made-by.json";

/** Makes a temporary home, and first removes those of killed runs. Throws `disk-full`, `file-missing`, `permission-denied`, `file-failed`. */
export function makeTemporaryHome(temporary: string, owner: HomeOwner | undefined): string {
  if (owner) removeAbandonedHomes(temporary, owner);
  let home: string | undefined;
  try {
    home = mkdtempSync(join(temporary, PREFIX));
    if (owner) writeFileSync(join(home, OWNER), JSON.stringify(identityOf(owner)), { mode: 0o600 });
    return home;
  } catch (error) {
    if (home !== undefined) rmSync(home, { recursive: true, force: true });
    throw toTemporaryError(error, "a folder", temporary);
  }
}

/**
 * Removes homes whose process certainly no longer runs: of this user, on this machine, in this PID namespace, since a process
 * of another one cannot be seen. All others stay, also those that cannot be removed: they are no reason to fail.
 */
function removeAbandonedHomes(temporary: string, owner: HomeOwner): void {
  for (const name of attempt(() => readdirSync(temporary)) ?? []) {
    if (!name.startsWith(PREFIX)) continue;
    const home = join(temporary, name);
    attempt(() => {
      const entry = lstatSync(home);
      if (!entry.isDirectory() || entry.uid !== ownAccount().uid) return;
      const made = JSON.parse(readFileSync(join(home, OWNER), "utf8")) as Partial<Identity>;
      const { pid, start, hostId, namespace } = identityOf(owner);
      if (made.hostId !== hostId || made.namespace !== namespace || typeof made.pid !== "number") return;
      const isOwn = made.pid === pid && made.start === start;
      if (!isOwn && owner.processStart(made.pid) !== made.start)
        rmSync(home, { recursive: true, force: true });
    });
  }
}

type Identity = ReturnType<typeof identityOf>;

const identityOf = ({ pid, hostId, processStart }: HomeOwner) => ({
  pid,
  start: processStart(pid) ?? "",
  hostId,
  // pid_namespaces(7)
  namespace: attempt(() => readlinkSync("/proc/self/ns/pid")) ?? "",
});

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
