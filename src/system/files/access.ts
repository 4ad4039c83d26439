import { dirname, join } from "node:path";
import { tryRead } from "../../errors.ts";
import type { Account } from "../machine.ts";
import type { System } from "../system.ts";

/** What an account is to be able to do with something that exists. */
export interface Access {
  /** Absolute. */
  readonly path: string;
  /** "enter" a folder, which all above it has to allow as well. */
  readonly needs: "enter" | "read" | "write";
}

/** Each argument is the letter of a test(1), and a path. Prints the numbers of those that fail, as paths may hold anything. */
const ASK = 'n=0; for one; do test "-${one%%:*}" "${one#*:}" || echo "$n"; n=$((n + 1)); done';
const LETTERS = { enter: "x", read: "r", write: "w" } as const;

const TIMEOUT_MS = 60_000;

/**
 * What of this an account cannot do, by asking the kernel as that account: owners, modes, groups and access lists all count. Of a path below
 * a folder that it cannot enter, only the folder is named. Undefined where nobody but root could ask. Changes nothing.
 */
export async function deniedTo(
  account: Account,
  wanted: readonly Access[],
  system: Pick<System, "files" | "machine" | "programs">,
): Promise<readonly Access[] | undefined> {
  const { machine, files } = system;
  if (account.uid === 0) return [];
  const own = machine.account(machine.user)?.uid ?? Number(machine.user);
  if (!machine.isRoot && own !== account.uid) return undefined;
  const folders = new Set<string>();
  for (const { path, needs } of wanted)
    for (const folder of above(needs === "enter" ? path : dirname(path))) {
      const real = await tryRead(() => files.real(folder));
      if (real !== undefined) for (const one of above(real)) folders.add(one);
    }
  const ways = [...folders].sort().map((path): Access => ({ path, needs: "enter" }));
  const closed = await failing(ways, account, system);
  const first = closed.filter(({ path }) => !closed.some((one) => path.startsWith(`${one.path}/`)));
  const isBelow = async (path: string) => {
    const real = (await tryRead(() => files.real(path))) ?? path;
    return first.some((one) => real === one.path || real.startsWith(`${one.path}/`));
  };
  const others: Access[] = [];
  for (const one of await failing(
    wanted.filter(({ needs }) => needs !== "enter"),
    account,
    system,
  ))
    if (!(await isBelow(one.path))) others.push(one);
  return [...first, ...others];
}

/** A folder and those above it, the topmost first. */
export function above(folder: string): string[] {
  const names = folder.split("/").filter(Boolean);
  return ["/", ...names.map((_, at) => join("/", ...names.slice(0, at + 1)))];
}

async function failing(
  asked: readonly Access[],
  account: Account,
  { machine, programs }: Pick<System, "machine" | "programs">,
): Promise<Access[]> {
  if (asked.length === 0) return [];
  const words = ["sh", "-c", ASK, "sh", ...asked.map(({ needs, path }) => `${LETTERS[needs]}:${path}`)];
  const [name, ...args] = machine.isRoot ? [...becoming(account, machine), ...words] : words;
  const said = await programs.run({ name: name!, args, folder: "/", timeout: TIMEOUT_MS });
  const numbers = new Set(said.split("\n").filter(Boolean).map(Number));
  return asked.filter((_, at) => numbers.has(at));
}

/** setpriv(1), of util-linux; an account that only has a number has no groups. */
function becoming({ uid, gid }: Account, machine: System["machine"]): string[] {
  const groups = machine.account(String(uid)) ? "--init-groups" : "--clear-groups";
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, groups, "--"];
}
