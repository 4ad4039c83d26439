import { MigrationError } from "../../errors.ts";
import { connect, databaseAddress } from "../../homeserver/database/address.ts";
import { assertSynapseDatabase } from "../../homeserver/database/identity.ts";
import { databaseConnections, fileUserFindings } from "../../homeserver/database/in-use.ts";
import type { Homeserver } from "../../homeserver/homeserver.ts";
import { usesMas } from "../../homeserver/mas/find.ts";
import {
  countSessions,
  endSessions,
  forgetSessions,
  readRecordedEnd,
  readSessionSchema,
  type RecordedEnd,
  restorableSessions,
  restoreSessions,
  type SessionCounts,
  type SessionEnd,
  type SessionSchema,
  SESSIONS_RECORD,
  type SessionsLeftAlone,
  unknownAccounts,
} from "../../homeserver/people/sessions.ts";
import { readHomeserver } from "../../homeserver/read.ts";
import { chooseSource, type GivenSource } from "../../homeserver/service/find/choose.ts";
import { findLaunches } from "../../homeserver/service/find/find.ts";
import { findActivity } from "../../homeserver/service/inspect.ts";
import type { Finding } from "../../report/finding.ts";
import type { Progress } from "../../system/progress.ts";
import type { QuerySession } from "../../system/query.ts";
import type { System } from "../../system/system.ts";
import { bulletList, confirm } from "../confirm.ts";
import { findReadOnly } from "../old-server/still-read-only.ts";
import { describeAtRisk, surveyBeforeSignOut } from "./survey.ts";

/** What is done to the sessions: "forget" makes an end final. */
type ExpireAction = SessionEnd | "undo" | "forget";

export interface ExpireOrder {
  readonly action: ExpireAction;
  readonly given: GivenSource;
  /** User ids whose sessions are left alone. */
  readonly keep: readonly string[];
  /** Undefined: nobody is counted. */
  readonly coverageDays: number | undefined;
  /** Do not ask. */
  readonly yes: boolean;
  readonly dryRun: boolean;
}

export type ExpireResult = {
  readonly serverName: string;
  readonly dryRun: boolean;
  readonly findings: readonly Finding[];
} & (
  | {
      readonly kind: SessionEnd;
      readonly counts: SessionCounts;
      readonly left: SessionsLeftAlone;
    }
  | {
      readonly kind: "undo" | "forget";
      readonly recorded: RecordedEnd;
      /** Access tokens that can still be restored: Synapse may have removed some since. */
      readonly restorable: number;
    }
);

/**
 * Ends the sessions of people inside a stopped homeserver's database, in one transaction that also records the undo; undoes
 * that, or makes it final. Sessions of application services and guests are left alone.
 *
 * Throws `homeserver-running`; `sign-out-refused` for a database in which this cannot be done; `bad-usage` when nobody
 * consents; and what reading the configuration and the database throws. Nothing is changed then.
 */
export async function expireSessions(
  order: ExpireOrder,
  system: System,
  progress: Progress,
): Promise<ExpireResult> {
  const { action, dryRun } = order;
  const { files, signal } = system;
  const chosen = await chooseSource(await findLaunches(system), order.given, files);
  const homeserver = await readHomeserver({ ...chosen.source, signal }, files);
  assertOwnSessions(homeserver);
  const database = await openStopped(homeserver, system);
  try {
    const { session } = database;
    const schema = await readSessionSchema(session);
    const shared = { serverName: homeserver.serverName, dryRun };
    if (action === "undo" || action === "forget") {
      const recorded = await assertRecorded(session, schema, homeserver);
      const restorable = await restorableSessions(session, recorded);
      if (!dryRun && action === "forget") await confirmForget(recorded, order, system);
      if (!dryRun)
        await database.change(action === "undo" ? restoreSessions(recorded, schema) : forgetSessions());
      return { kind: action, ...shared, recorded, restorable, findings: chosen.findings };
    }
    await assertNotRecorded(session, schema);
    await assertAccounts(session, order.keep);
    const at = system.machine.now();
    const whose = { keep: order.keep };
    const { left, ...counts } = await countSessions(session, { end: action, at, whose }, schema);
    const survey = await surveyBeforeSignOut(
      {
        given: order.coverageDays === undefined ? undefined : order.given,
        coverageDays: order.coverageDays ?? 0,
      },
      system,
      progress,
    );
    const findings = [...survey.findings, ...pusherFindings(action, schema)];
    if (!dryRun) {
      if (!order.yes && survey.counts?.atRisk !== 0)
        await confirmEnd(action, counts, describeAtRisk(survey), system);
      const secret = Buffer.from(system.machine.random(32)).toString("base64url");
      await database.change(
        endSessions({ end: action, at, whose, secret, accounts: counts.accounts }, schema),
      );
    }
    return { kind: action, ...shared, counts, left, findings };
  } finally {
    await database.close();
  }
}

/** Throws `sign-out-refused` when the sessions are not in Synapse's database. */
function assertOwnSessions(homeserver: Homeserver): void {
  if (!usesMas(homeserver)) return;
  throw new MigrationError(
    "sign-out-refused",
    `people of ${homeserver.serverName} sign in through a Matrix Authentication Service, which has their sessions`,
    {
      hint: "end them there, with the service running: mas-cli manage kill-sessions USER (--dry-run shows them); clients that cannot refresh their token any more are signed out",
    },
  );
}

interface StoppedDatabase {
  readonly session: QuerySession;
  /** All statements in one transaction. */
  change(statements: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Throws `homeserver-running`, and `sign-out-refused` for a database that is closed because the server has moved. */
async function openStopped(homeserver: Homeserver, system: System): Promise<StoppedDatabase> {
  const { sqlite, machine } = system;
  const { database, mediaStore, serverName } = homeserver;
  assertStopped(await findActivity(homeserver, system));
  const readOnly = await findReadOnly(homeserver, { find: () => undefined }, system);
  if (readOnly.length > 0)
    throw new MigrationError(
      "sign-out-refused",
      `the database of ${serverName} was made read-only, as an export does: ${readOnly.join("; ")}`,
      {
        hint: "sign people out on the new host, where the server lives now; or first take the old server back: synlift rollback",
      },
    );
  if (database.kind === "sqlite") {
    const { path } = database;
    assertStopped(fileUserFindings(path, machine));
    const session = await sqlite.connect(path);
    await assertSynapseDatabase(session, serverName).catch(async (error: unknown) => {
      await session.close();
      throw error;
    });
    return {
      session,
      async change(statements) {
        await session.close();
        if (!(await sqlite.recover(path)))
          throw new MigrationError("permission-denied", `this account may not change ${path}`, {
            hint: "run it as root, or as the owner of the file",
          });
        assertStopped([...(await findActivity(homeserver, system)), ...fileUserFindings(path, machine)]);
        await sqlite.execute(path, statements, { recoverable: true });
      },
      close: () => session.close(),
    };
  }
  const { session } = await connect(databaseAddress(homeserver), system, mediaStore, { writes: true });
  try {
    await assertSynapseDatabase(session, serverName);
    assertStopped((await databaseConnections(session)).homeserver);
  } catch (error) {
    await session.close();
    throw error;
  }
  return {
    session,
    async change(statements) {
      assertStopped([
        ...(await findActivity(homeserver, system)),
        ...(await databaseConnections(session)).homeserver,
      ]);
      await session.run(statements.join("\n"));
    },
    close: () => session.close(),
  };
}

function assertStopped(alive: readonly Finding[]): void {
  if (alive.length === 0) return;
  const seen = alive.map(({ sentence, evidence = [] }) => [sentence, ...evidence].join(": "));
  throw new MigrationError("homeserver-running", `the homeserver is running: ${seen.join("; ")}`, {
    hint: "stop it first, workers too: a running Synapse keeps the tokens that it has seen in memory, and goes on to accept them",
  });
}

async function assertRecorded(
  session: QuerySession,
  { isRecorded }: SessionSchema,
  { serverName }: Homeserver,
): Promise<RecordedEnd> {
  if (isRecorded) return readRecordedEnd(session);
  throw new MigrationError(
    "sign-out-refused",
    `the database of ${serverName} records no sign-out that could be undone: it has no table ${SESSIONS_RECORD}`,
  );
}

async function assertNotRecorded(session: QuerySession, { isRecorded }: SessionSchema): Promise<void> {
  if (!isRecorded) return;
  const { end, at } = await readRecordedEnd(session);
  throw new MigrationError(
    "sign-out-refused",
    `sessions were ended before, at ${new Date(at).toISOString()} (${end}), and that can still be undone`,
    { hint: "undo it with --undo, or make it final with --forget, and run this again" },
  );
}

async function assertAccounts(session: QuerySession, keep: readonly string[]): Promise<void> {
  const [unknown] = await unknownAccounts(session, keep);
  if (unknown !== undefined)
    throw new MigrationError("bad-usage", `--keep: there is no account ${unknown}`, {
      hint: "write the whole user id: @monitor:example.org",
    });
}

function pusherFindings(end: SessionEnd, { canDisablePushers }: SessionSchema): Finding[] {
  if (end === "soft" || canDisablePushers) return [];
  return [
    {
      id: "pushers-left",
      level: "note",
      sentence: "this Synapse cannot switch off pushes: phones that were signed out go on to get them",
      hint: "pushes to a client end when its device is deleted",
    },
  ];
}

async function confirmEnd(
  end: SessionEnd,
  counts: SessionCounts,
  lost: string,
  system: Pick<System, "terminal">,
): Promise<void> {
  const people = `${counts.accessTokens} sessions of ${counts.accounts} accounts`;
  const consequences = [
    lost,
    end === "soft"
      ? "clients that know soft_logout keep their keys; Element X on Android and others discard them"
      : "every client discards its messages and keys",
    "synlift sign-out expire --undo takes it back, for clients that were not told yet",
  ];
  await confirm(
    {
      question: `End ${people}?${bulletList(consequences)}\n`,
      consequence: `end ${people}; ${lost}`,
      hint: "tell these people first (synlift users --announce), then answer with --yes, or run this in a terminal",
      otherwise: new MigrationError("bad-usage", "nothing was done: the sign-out was not confirmed", {
        hint: "synlift users lists who would lose messages, and writes what to tell them",
      }),
    },
    system,
  );
}

async function confirmForget(
  { end, counts }: RecordedEnd,
  { yes }: Pick<ExpireOrder, "yes">,
  system: Pick<System, "terminal">,
): Promise<void> {
  if (yes) return;
  const what = `the ${end} end of ${counts.accessTokens} sessions can no longer be undone`;
  await confirm(
    {
      question: `Make it final? Then ${what}.\n`,
      consequence: what,
      otherwise: new MigrationError("bad-usage", "nothing was done: it can still be undone"),
    },
    system,
  );
}
