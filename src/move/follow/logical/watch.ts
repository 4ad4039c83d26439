import { MigrationError } from "../../../errors.ts";
import { lastWords } from "../../../homeserver/database/follow/logical/last-words.ts";
import { type SchemaChange, schemaChanges } from "../../../homeserver/database/follow/logical/schema.ts";
import { slotState } from "../../../homeserver/database/follow/logical/slot.ts";
import {
  pauseSubscription,
  subscriptionState,
} from "../../../homeserver/database/follow/logical/subscription.ts";
import { formatDuration } from "../../../report/units.ts";
import type { PostgresSession } from "../../../system/postgres/postgres.ts";
import type { Progress } from "../../../system/progress.ts";
import type { System } from "../../../system/system.ts";
import type { Followed, Watch } from "../watch.ts";
import { addressesOf, dataFolder, type LogicalCopy } from "./choose.ts";

/** Milliseconds in which a look has to be answered. */
const LOOK_TIMEOUT_MS = 30_000;
/** Milliseconds between two comparisons of the schemas: they read both catalogues whole. */
const SCHEMA_MS = 10 * 60_000;
/** Milliseconds in which every attempt to apply a change has failed, after which it is given up: PostgreSQL would try for ever. */
const FAILING_MS = 10 * 60_000;

/**
 * Looks at both sides of a subscription. A change of the old schema is told as it is seen. Changes that cannot be applied are tried
 * again by PostgreSQL; after ten minutes the subscription is switched off, and `restore-failed` thrown with what is known of the reason.
 * Throws `database-unreachable`. The caller closes it.
 */
export async function watchLogical(
  old: PostgresSession,
  { here, slot }: { readonly here: LogicalCopy; readonly slot: string },
  system: System,
  progress: Pick<Progress, "note">,
): Promise<Watch> {
  const { postgres, machine, files } = system;
  const { administrator } = await addressesOf(here, system);
  const session = await postgres.connect(administrator, { writes: true, responseTimeout: LOOK_TIMEOUT_MS });
  const data = await dataFolder(session);
  const told = new Set<string>();
  let schemaAt = -Infinity;
  let changes: readonly SchemaChange[] = [];
  /** Since when nothing has moved, and how often it had failed then. */
  let since = { confirmed: "", errors: 0, at: machine.elapsed() };

  const lookAtSchemas = async () => {
    schemaAt = machine.elapsed();
    changes = (await schemaChanges(old, session)).filter(({ effect }) => effect !== "harmless");
    for (const change of changes.filter(({ sentence }) => !told.has(sentence))) {
      told.add(change.sentence);
      progress.note(describeChange(change));
    }
  };

  return {
    async look(): Promise<Followed> {
      const there = await slotState(old, slot);
      const state = await subscriptionState(session, here.subscription);
      if (!state)
        throw new MigrationError(
          "already-opened",
          `there is no subscription ${here.subscription} any more: the copy follows no more`,
          {
            hint: "go on with the cut-over where it was broken off, or begin again: synlift follow … --begin-again",
          },
        );
      const confirmed = there?.confirmed ?? "";
      if (confirmed !== since.confirmed) since = { confirmed, errors: state.errors, at: machine.elapsed() };
      // A connection that broke counts as a failure, too, and on an idle server nothing is behind.
      const fails = state.errors > since.errors && (there?.lagBytes ?? 0) > 0;
      if (machine.elapsed() - schemaAt > (fails ? SCHEMA_MS / 20 : SCHEMA_MS)) await lookAtSchemas();
      if (fails && machine.elapsed() - since.at > FAILING_MS && there?.walStatus !== "lost") {
        await lookAtSchemas();
        await pauseSubscription(session, here.subscription);
        throw givenUp(changes, await lastWords(session, files), data);
      }
      return {
        writtenBytes: there?.writtenBytes ?? 0,
        lagBytes: there?.lagBytes ?? null,
        lagSeconds: there?.lagBytes === 0 ? 0 : (there?.lagSeconds ?? null),
        heldBytes: there?.heldBytes ?? null,
        roomBytes: there?.safeBytes ?? null,
        slot: there ? (there.walStatus ?? "reserved") : "missing",
        connected: state.running && there?.active === true,
        freeBytes: (await files.diskSpace(data)).free,
      };
    },
    close: () => session.close(),
  };
}

const describeChange = ({ effect, sentence, statement }: SchemaChange): string => {
  const what =
    effect === "stops" ? `${sentence}: changes of that table cannot be applied any more` : sentence;
  return statement === undefined
    ? `${what}; logical replication does not carry it: begin again with --begin-again`
    : `${what}; logical replication does not carry it: in the new database, as its owner: ${statement}`;
};

function givenUp(changes: readonly SchemaChange[], words: string | undefined, data: string): MigrationError {
  const stopping = changes.filter(({ effect }) => effect === "stops");
  const reason =
    stopping.length > 0
      ? stopping.map(({ sentence }) => sentence).join("; ")
      : (words ?? `see the log of the PostgreSQL with its data in ${data}`);
  const statements = stopping.flatMap(({ statement }) => statement ?? []);
  return new MigrationError(
    "restore-failed",
    `the new database cannot apply the old one's changes, tried for ${formatDuration(FAILING_MS / 1000)}: ${reason}`,
    {
      hint: `the old server runs as before, and keeps its log within its limit. ${
        statements.length > 0
          ? `In the new database, as its owner: ${statements.join(" ")} Then run the same command again`
          : "Clear the cause and run the same command again, or begin again with --begin-again"
      }`,
    },
  );
}
