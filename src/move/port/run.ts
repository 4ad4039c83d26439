import { join } from "node:path";
import { MigrationError } from "../../errors.ts";
import { fileMarker, sqliteBytes } from "../../homeserver/database/file-state.ts";
import { PORT_FIXES, type PortFix } from "../../homeserver/database/fixes.ts";
import { connectIfExists, inspectTarget } from "../../homeserver/database/fill/inspect-target.ts";
import { isMark, isMarked } from "../../homeserver/database/fill/interrupted.ts";
import { assertSynapseDatabase, tableNames } from "../../homeserver/database/identity.ts";
import { fileUserFindings } from "../../homeserver/database/in-use.ts";
import { inspectForPort, type PortFault } from "../../homeserver/database/port/inspect.ts";
import type { TableRows } from "../../homeserver/database/port/verify.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import { Journal } from "../../journal/journal.ts";
import { acquireLock } from "../../journal/lock.ts";
import type { Finding } from "../../report/finding.ts";
import { pageHtml } from "../../report/html.ts";
import type { Files } from "../../system/files/files.ts";
import { makeOwnedFolder } from "../../system/files/owned-folder.ts";
import { describeAddress, type PostgresAddress } from "../../system/postgres/postgres.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { confirm } from "../confirm.ts";
import { assertDiskSpace } from "../disk-space.ts";
import { copyIn, portDatabase, type PortSeconds } from "./port-database.ts";
import { portPage } from "./report.ts";
import { accountOf, findPortingSynapse } from "./synapse.ts";
import { removeWork } from "./work-folder.ts";

/** All paths are absolute. */
export interface PortOrder {
  readonly given: GivenSource;
  readonly target: PostgresAddress;
  /** Folder for the private copy, the log and the report. */
  readonly folder: string;
  readonly fixes: readonly PortFix[];
  /** Milliseconds. */
  readonly silence: number;
  /** --synapse */
  readonly synapse: string | undefined;
  readonly installSynapse: boolean;
  /** --synapse-version */
  readonly synapseVersion: string | undefined;
  /** Port a copy of the running server for practice, and empty the database again. */
  readonly rehearsal: boolean;
  readonly dryRun: boolean;
}

export type PortResult = {
  readonly serverName: string;
  readonly target: PostgresAddress;
  readonly findings: readonly Finding[];
} & (
  | { readonly kind: "blocked" }
  | { readonly kind: "dry-run"; readonly folder: string }
  | { readonly kind: "already-ported" }
  | {
      readonly kind: "ported" | "rehearsed";
      readonly rows: TableRows;
      readonly seconds: PortSeconds & { readonly copy: number };
      readonly log: string;
      readonly report: string;
    }
);

/** Journal facts: the database that is being filled, with its mark; and the one that was, with the state of the file. */
const FILLING = "port/filling";
const PORTED = "port/ported";

/**
 * Copies a homeserver's database of SQLite into an empty one of PostgreSQL, on a private copy of the file: the file and
 * the configuration are not changed. The server must be stopped, except for a rehearsal. What an interrupted run left is
 * removed by the next one, which starts over.
 *
 * Throws what the checks throw, while nothing is changed; `port-failed`, after which the database is empty again; and
 * `source-changed` when the server wrote meanwhile.
 */
export async function portHomeserver(
  order: PortOrder,
  system: System,
  progress: Progress,
): Promise<PortResult> {
  const { files, machine } = system;
  const { folder, target, dryRun, rehearsal } = order;
  const chosen = await chooseSource(await findLaunches(system), order.given, files);
  const homeserver = await readHomeserver(
    { ...chosen.source, masConfig: undefined, signal: system.signal },
    files,
  );
  const { serverName } = homeserver;
  const path = sqlitePathOf(homeserver);
  assertDirect(target);
  const session = await system.sqlite.connect(path);
  await assertSynapseDatabase(session, serverName).finally(() => session.close());
  if (!rehearsal)
    assertStopped([...(await findActivity(homeserver, system)), ...fileUserFindings(path, machine)]);
  const marker = await fileMarker(path, files);
  const before = await Journal.read(join(folder, JOURNAL), files);
  const words = describeAddress(target);
  const shared = { serverName, target };
  const begun = await begunIn(before, words, target, system);
  const finished = before?.facts[PORTED] === `${marker} ${words}` && !begun;
  if (!rehearsal && finished && (await isFilled(target, system)))
    return { kind: "already-ported", ...shared, findings: chosen.findings };
  if (!begun) await inspectTarget({ address: target, section: { serverVersion: 0 } }, system.postgres);
  const bytes = await sqliteBytes(path, files);
  await assertDiskSpace(folder, bytes, "a private copy of the database", "--out", files);
  const room = await findRoom(target, bytes, system);
  if (dryRun) {
    const look = await system.sqlite.connect(path);
    const faults = await inspectForPort(look).finally(() => look.close());
    const left = faults.filter(({ fix }) => fix === undefined || !order.fixes.includes(fix));
    const findings = [...chosen.findings, ...room, ...left.map(({ finding }) => finding)];
    return { kind: left.length > 0 ? "blocked" : "dry-run", ...shared, folder, findings };
  }
  const { launch } = chosen;
  const synapse = await findPortingSynapse(
    {
      synapse: order.synapse,
      configPaths: homeserver.configPaths,
      folder,
      install: order.installSynapse,
      dryRun: false,
      version: order.synapseVersion ?? launch?.version,
    },
    system,
    progress,
  );
  await files.makeFolder(folder);
  const held = await acquireLock(join(folder, "lock"), files, machine);
  try {
    const journal = await Journal.open(join(folder, JOURNAL), files);
    const account = await accountOf(path, { address: target, system });
    const work = join(folder, "work");
    await removeWork(work, files);
    if (account) await files.setMode(folder, 0o711);
    await makeOwnedFolder(work, account, files);
    try {
      const began = machine.elapsed();
      await copyFile(path, copyIn(work), account, system, progress);
      const copied = machine.elapsed();
      const log = join(folder, "port.log");
      const outcome = await portDatabase(
        {
          serverName,
          copy: copyIn(work),
          from: `the SQLite database ${path}`,
          target,
          finishUpdates: order.fixes.includes("pending-updates"),
          silence: order.silence,
          log,
          begun,
          synapse: { python: synapse.python, account, folder: work },
          allowed: (fault) => isAllowed(fault, order, system),
          begins: (mark) => journal.setFact(FILLING, `${mark} ${words}`),
          settle: async () => {
            if (rehearsal) return;
            await assertUnchanged(path, marker, files);
            // It counts as soon as the mark is gone: this run may not live to record that.
            await journal.setFact(PORTED, `${marker} ${words}`);
          },
          rehearsal,
        },
        system,
        progress,
      );
      const findings = [...chosen.findings, ...room, ...outcome.findings];
      if (outcome.kind === "blocked") return { kind: "blocked", ...shared, findings };
      await journal.removeFact(FILLING);
      const report = join(folder, "port.html");
      const seconds = { copy: (copied - began) / 1000, ...outcome.seconds };
      const made = { serverName, target: words, rows: outcome.rows, rehearsal, findings, seconds };
      await files.writeAtomically(report, pageHtml(portPage({ ...made, now: machine.now() })));
      const kind = rehearsal ? "rehearsed" : "ported";
      return { kind, ...shared, findings, rows: outcome.rows, seconds, log, report };
    } finally {
      await removeWork(work, files);
    }
  } finally {
    await held.release();
  }
}

const JOURNAL = "port.json";

function sqlitePathOf({ database, serverName }: Homeserver): string {
  if (database.kind === "sqlite") return database.path;
  throw new MigrationError("database-unsupported", `the database of ${serverName} is not SQLite`, {
    hint: "there is nothing to port: it is on PostgreSQL already",
  });
}

/** Synapse's program connects by itself. */
function assertDirect({ commandPrefix }: PostgresAddress): void {
  if (commandPrefix === undefined) return;
  throw new MigrationError(
    "bad-usage",
    "the new database must be reachable from this host, without a command",
    {
      hint: "let PostgreSQL listen on 127.0.0.1, also if it runs in a container, and give that address",
    },
  );
}

function assertStopped(alive: readonly Finding[]): void {
  if (alive.length === 0) return;
  const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": "));
  throw new MigrationError("homeserver-running", `the homeserver is still running: ${seen.join("; ")}`, {
    hint: "stop it first; or practise on a copy of the running server: --rehearse",
  });
}

/** What an interrupted run of this command left in the database. */
async function begunIn(
  journal: Journal | undefined,
  words: string,
  target: PostgresAddress,
  { postgres }: System,
): Promise<{ mark: string } | undefined> {
  const fact = journal?.facts[FILLING];
  const mark = fact?.slice(0, fact.indexOf(" "));
  if (fact === undefined || mark === undefined || !isMark(mark) || fact !== `${mark} ${words}`)
    return undefined;
  return (await isMarked(target, mark, postgres)) ? { mark } : undefined;
}

/** Whether a finished database is still there: a later one of that name may be empty. */
async function isFilled(target: PostgresAddress, { postgres }: System): Promise<boolean> {
  const session = await connectIfExists(target, postgres);
  if (!session) return false;
  const names = await tableNames(session).finally(() => session.close());
  return names.has("schema_version");
}

/** Consent to mend one fault on the copy: by its option, or from a person who is asked. */
async function isAllowed(
  { fix, finding }: PortFault,
  { fixes }: PortOrder,
  system: System,
): Promise<boolean> {
  if (fix === undefined) return false;
  if (fixes.includes(fix)) return true;
  if (!system.terminal.interactive) return false;
  const otherwise = new MigrationError("port-failed", `${finding.sentence}; you answered no`, {
    hint: `nothing was changed; ${finding.hint ?? ""}`,
  });
  const detail = (finding.evidence ?? []).slice(0, 10).map((line) => `\n  - ${line}`);
  await confirm(
    {
      question: `${finding.sentence}:${detail.join("")}\nOn a private copy: ${PORT_FIXES[fix]}?`,
      consequence: finding.sentence,
      otherwise,
    },
    system,
  );
  return true;
}

/** Beside the running server, too: SQLite's backup API gives one state. */
async function copyFile(
  path: string,
  copy: string,
  account: { readonly uid: number; readonly gid: number } | undefined,
  system: System,
  progress: Progress,
): Promise<void> {
  const { files, sqlite } = system;
  const id = "port/copy";
  let before = 0;
  progress.begin({
    id,
    label: "private copy of the database",
    unit: "bytes",
    total: await sqliteBytes(path, files),
  });
  const image = await sqlite.copy(path, copy, (bytes) => {
    progress.advance(id, Math.max(0, bytes - before));
    before = bytes;
  });
  await image.close();
  progress.end(id);
  if (account) await files.setOwner(copy, account.uid, account.gid);
}

/** Throws `source-changed`: rows that were written meanwhile are not in the new database. */
async function assertUnchanged(path: string, marker: string, files: Files): Promise<void> {
  if ((await fileMarker(path, files)) === marker) return;
  throw new MigrationError("source-changed", `${path} changed while it was copied to PostgreSQL`, {
    hint: "something started the server meanwhile: stop it permanently, then run the same command again",
  });
}

/** PostgreSQL takes up to twice the space of SQLite (Synapse, docs/postgres.md). Where its disk can be seen, it is looked at. */
async function findRoom(
  target: PostgresAddress,
  bytes: number,
  { postgres, files }: Pick<System, "postgres" | "files">,
): Promise<Finding[]> {
  const host = target.parameters["host"];
  const isHere =
    host === undefined || host.startsWith("/") || ["127.0.0.1", "::1", "localhost"].includes(host);
  const maintenance = { ...target, parameters: { ...target.parameters, dbname: "postgres" } };
  const session = isHere ? await postgres.connect(maintenance).catch(() => undefined) : undefined;
  // Only superusers and members of pg_read_all_settings see it.
  const [row] = session
    ? await session
        .all<{ setting: string }>(
          "SELECT setting FROM pg_settings WHERE name = 'data_directory' AND setting <> ''",
        )
        .finally(() => session.close())
    : [];
  if (row && (await files.stat(row.setting).catch(() => undefined))) {
    await assertDiskSpace(
      row.setting,
      2 * bytes,
      "the PostgreSQL database",
      "--to, on another server",
      files,
    );
    return [];
  }
  return [
    {
      id: "port-room",
      level: "note",
      sentence:
        "the disk of the database server cannot be seen from here: it needs up to twice the size of the SQLite file",
    },
  ];
}
