import { FIX_SEQUENCES } from "../../homeserver/database/fixes.ts";
import { describeBehind, raiseSequences, sequencesBehind } from "../../homeserver/database/sequences.ts";
import { type DatabaseSource, postgresOf } from "../../homeserver/database/source.ts";
import { describeStore } from "../../homeserver/database/store.ts";
import type { Finding } from "../../report/finding.ts";
import type { System } from "../../system/system.ts";

/**
 * Looks, after the fence, for sequences of the old databases that are behind the ids in use, as a hard kill leaves them,
 * and raises them if that was asked for. Without it the old server could not be started again after a rollback; restore
 * raises them on the new host in any case. Never lowers one; may be repeated.
 */
export async function raiseSourceSequences(
  database: DatabaseSource,
  raise: boolean,
  { postgres }: Pick<System, "postgres">,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { address, store } of postgresOf(database)) {
    if (store === "mas") continue;
    const session = await postgres.connect(address, raise ? { writes: true } : {});
    const behind = await (raise ? raiseSequences(session) : sequencesBehind(session)).finally(() =>
      session.close(),
    );
    if (behind.length === 0) continue;
    const one = behind.length === 1;
    const evidence = behind.map(describeBehind);
    const many = `${behind.length} ${one ? "sequence" : "sequences"} of ${describeStore(store)}`;
    findings.push(
      raise
        ? {
            id: "sequences-raised",
            level: "ok",
            sentence: `${many} ${one ? "was" : "were"} behind the ids in use, and ${one ? "was" : "were"} raised, also on this host`,
            evidence,
          }
        : {
            id: "sequences-behind",
            level: "warning",
            sentence: `${many} ${one ? "is" : "are"} behind the ids in use: after a rollback, this server could not be started`,
            evidence,
            hint: `restore raises them on the new host; to raise them here too, run the same command again with --fix ${FIX_SEQUENCES}`,
          },
    );
  }
  return findings;
}
