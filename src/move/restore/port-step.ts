import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import type { BegunRestore } from "../../homeserver/database/fill/interrupted.ts";
import type { PortFix } from "../../homeserver/database/fixes.ts";
import type { TableRows } from "../../homeserver/database/port/verify.ts";
import { restoreSqlite } from "../../homeserver/database/sqlite/restore.ts";
import type { DatabaseRestore } from "../../homeserver/database/target.ts";
import type { Journal } from "../../journal/journal.ts";
import type { Bytes } from "../../pipeline/transform.ts";
import type { Finding } from "../../report/finding.ts";
import { makeOwnedFolder, type Owner } from "../../system/files/owned-folder.ts";
import type { PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { copyIn, portDatabase } from "../port/port-database.ts";
import { removeWork } from "../port/work-folder.ts";

/** How a database of SQLite is filled into PostgreSQL. Paths are absolute. */
export interface Porting {
  /** Where the file is unpacked meanwhile. */
  readonly folder: string;
  readonly fixes: readonly PortFix[];
  /** Milliseconds without a word of Synapse's program. */
  readonly silence: number;
  readonly installSynapse: boolean;
}

/** The same, once it is known which Synapse does it. */
export interface PortingByPython extends Porting {
  readonly python: string;
  readonly serverName: string;
  /** Path of the log that is kept. */
  readonly log: string;
  /** Receives what was found and mended. */
  readonly tell?: ((findings: readonly Finding[]) => void) | undefined;
}

/** Whether this database arrives on another engine than it had. */
export const isPorted = ({ section, target }: Pick<DatabaseRestore, "section" | "target">): boolean =>
  section.engine === "sqlite" && target.engine === "postgres";

/** Journal fact: the rows that the copy had when it was ported, after what was mended in it. */
const ROWS = "ported-rows";

/** Undefined before the port has compared them. */
export function portedRows({ facts }: Pick<Journal, "facts">): TableRows | undefined {
  const text = facts[ROWS];
  return text === undefined ? undefined : (JSON.parse(text) as TableRows);
}

/**
 * Unpacks the file into a private folder, deletes the rows that are not moved, and ports it. Starts over after an
 * interruption. Throws `port-failed` for a fault without consent, and what `restoreSqlite` and `portDatabase` throw.
 */
export async function fillByPort(
  address: PostgresAddress,
  { section }: DatabaseRestore,
  from: {
    readonly id: string;
    readonly content: Bytes;
    readonly begun: BegunRestore | undefined;
    readonly partlyFilled: (mark: string) => Promise<void>;
    readonly filled: () => Promise<void>;
  },
  { porting, owner, journal }: { porting: PortingByPython; owner: Owner; journal: Journal },
  system: System,
  progress: Progress,
): Promise<void> {
  const { files, machine } = system;
  const work = porting.folder;
  const account =
    address.account ?? (machine.isRoot && owner ? machine.account(String(owner.uid)) : undefined);
  await removeWork(work, files);
  await makeOwnedFolder(work, account, files);
  try {
    const copy = copyIn(work);
    await restoreSqlite(copy, from.content, { ...system, owner: account, kept: section.kept });
    const outcome = await portDatabase(
      {
        serverName: porting.serverName,
        copy,
        from: `bundle ${from.id}`,
        target: address,
        synapse: { python: porting.python, account, folder: work },
        allowed: ({ fix }) => Promise.resolve(fix !== undefined && porting.fixes.includes(fix)),
        finishUpdates: porting.fixes.includes("pending-updates"),
        silence: porting.silence,
        log: porting.log,
        begun: from.begun,
        begins: from.partlyFilled,
        settle: async (rows) => {
          await journal.setFact(ROWS, JSON.stringify(rows));
        },
        rehearsal: false,
      },
      system,
      progress,
    );
    if (outcome.kind === "blocked") throw needsFixes(outcome.findings);
    porting.tell?.(outcome.findings);
    await from.filled();
  } finally {
    await removeWork(work, files);
  }
}

function needsFixes(findings: readonly Finding[]): MigrationError {
  const said = findings.map(({ sentence, evidence = [] }) => [sentence, ...evidence.slice(0, 3)].join(": "));
  const hints = findings.map(({ hint }) => hint).filter((hint) => hint !== undefined);
  return new MigrationError("port-failed", said.join("; "), { hint: hints.join("; ") });
}

/** The journal and the log beside the restored configuration. */
export const portLogIn = (folder: string) => join(folder, "port.log");
