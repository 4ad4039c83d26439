import type { Finding } from "../../report/finding.ts";
import { formatDuration } from "../../report/units.ts";
import type { Machine } from "../../system/machine.ts";
import type { Progress } from "../../system/progress.ts";
import { parseServerName, serverNameHint } from "../server-name.ts";
import { type CheckContext, type CheckOrder, observe } from "./collect.ts";
import { judge } from "./judge.ts";
import { withTimeLimit } from "../time-limit.ts";
import { CHECKS, type CheckId, type CheckResult, findingsOf, result } from "./result.ts";

export interface DelegationCheck {
  readonly results: readonly CheckResult[];
  readonly findings: readonly Finding[];
}

/** How long and how often to check again; milliseconds. */
export interface Watch {
  readonly limit: number;
  readonly every: number;
}

interface WatchContext extends CheckContext {
  readonly machine: Pick<Machine, "now" | "elapsed" | "wait">;
}

/**
 * Checks how clients and other servers find a server against what is expected. With `watch` it checks again until
 * everything is as expected or the time is over, and says what changed in between. Changes nothing, except that a login
 * that was asked for is made and ended. Failures are results; rejects only with the signal's reason.
 */
export async function checkDelegation(
  order: CheckOrder,
  world: WatchContext,
  progress: Progress,
  watch?: Watch,
): Promise<DelegationCheck> {
  const name = parseServerName(order.serverName);
  if (!name) {
    const finding: Finding = {
      id: "server-name",
      level: "blocker",
      sentence: `${order.serverName} is not a valid server name`,
      hint: serverNameHint(order.serverName),
    };
    return { results: [], findings: [finding] };
  }
  const { machine, signal } = world;
  const started = machine.elapsed();
  progress.note(`asking DNS, ${order.serverName} and its addresses`);
  for (let before: readonly CheckResult[] | undefined; ;) {
    const limited = withTimeLimit(world, order.timeLimit);
    const seen = await observe(name, order, limited);
    const results = [
      ...judge(seen),
      ...(limited.cut() ? [result("time-limit", name.text, "warning", overText(order.timeLimit))] : []),
    ];
    const failing = results.filter(({ level }) => level === "warning" || level === "blocker");
    const left = watch ? watch.limit - (machine.elapsed() - started) : 0;
    if (!watch || failing.length === 0 || left <= 0) return { results, findings: findingsOf(results) };
    if (!before || !isSame(before, failing))
      progress.note(`${describeFailing(failing)}; asking again every ${formatDuration(watch.every / 1000)}`);
    before = failing;
    await machine.wait(Math.min(watch.every, left), signal);
  }
}

const overText = (limit: number) => `the limit is ${formatDuration(limit / 1000)}`;

/** Milliseconds: an answer that ends at another time than before has come into the cache again. */
const SAME_TIME = 60_000;

/** Whether the same is wrong as before. What remains of a TTL is in whole seconds, so its end wavers. */
function isSame(before: readonly CheckResult[], now: readonly CheckResult[]): boolean {
  const key = ({ check, subject, said, until }: CheckResult) =>
    `${check} ${subject} ${check !== "old-address" ? "" : until === undefined ? said : said.replace(/ until .*/, "")}`;
  const ends = new Map(before.map((one) => [key(one), one.until]));
  const keys = new Set(now.map(key));
  return (
    keys.size === ends.size &&
    now.every((one) => {
      const was = ends.get(key(one));
      return ends.has(key(one)) && Math.abs((was ?? 0) - (one.until ?? 0)) <= SAME_TIME;
    })
  );
}

/** "not yet as expected: old-address (resolver 192.0.2.53: matrix.example.org A is 192.0.2.1, …), well-known-client". */
function describeFailing(failing: readonly CheckResult[]): string {
  const ids = (Object.keys(CHECKS) as CheckId[]).filter((id) => failing.some(({ check }) => check === id));
  const old = failing
    .filter(({ check }) => check === "old-address")
    .map(({ subject, said }) => `${subject}: ${said}`);
  return `not yet as expected: ${ids.join(", ")}${old.length === 0 ? "" : ` (${old.join("; ")})`}`;
}
