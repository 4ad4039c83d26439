import type { ByteTransform } from "../../../pipeline/transform.ts";
import type { Postgres, PostgresAddress } from "../../../system/postgres/postgres.ts";

/** The names of all parameters that the server of this database has. */
export async function readSettings(
  address: PostgresAddress,
  postgres: Postgres,
): Promise<ReadonlySet<string>> {
  const session = await postgres.connect(address);
  const names = session.all<{ name: string }>("SELECT name FROM pg_settings");
  return new Set((await names.finally(() => session.close())).map(({ name }) => name));
}

/**
 * Leaves out of a dump's first lines each SET of a parameter that is not in `known`: those lines are for the server version of the
 * pg_dump that wrote them, and an older server would end the restore at the first that it does not have. Reports each that was left
 * out. Behind the first statement that is no SET, nothing is changed.
 */
export function leaveOutUnknownSettings(
  known: ReadonlySet<string>,
  leftOut: (name: string) => void,
): ByteTransform {
  return async function* (source) {
    let held: Buffer = Buffer.alloc(0);
    let past = false;
    for await (const chunk of source) {
      if (past) {
        yield chunk;
        continue;
      }
      held = Buffer.concat([held, chunk]);
      const end = endOfSettings(held);
      if (end === undefined && held.length <= HEAD_LIMIT) continue;
      past = true;
      yield withoutUnknown(held, end ?? 0);
    }
    if (!past) yield held;
  };

  function withoutUnknown(bytes: Buffer, end: number): Buffer {
    const kept = bytes.subarray(0, end).toString("latin1").split("\n").filter(keeps);
    return Buffer.concat([Buffer.from(kept.join("\n"), "latin1"), bytes.subarray(end)]);
  }

  function keeps(line: string): boolean {
    const name = SETTING.exec(line)?.[1];
    if (name === undefined || known.has(name)) return true;
    leftOut(name);
    return false;
  }
}

/** Those lines take less than a kilobyte. */
const HEAD_LIMIT = 64 * 1024;

/** As pg_dump writes them (src/bin/pg_dump/pg_backup_archiver.c, `_doSetFixedOutputState`). */
const SETTING = /^SET ([a-z_]+) = [^;]*;\r?$/;
const AMONG_SETTINGS = /^(SELECT pg_catalog\.set_config\(|--|\\|\s*$)/;

/** Where the first statement begins that is no setting; undefined when it is not there yet. */
function endOfSettings(bytes: Buffer): number | undefined {
  for (let start = 0; ;) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1) return undefined;
    const line = bytes.subarray(start, end).toString("latin1");
    if (!SETTING.test(line) && !AMONG_SETTINGS.test(line)) return start;
    start = end + 1;
  }
}
