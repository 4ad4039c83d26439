import type { Homeserver } from "../../homeserver/homeserver.ts";
import type { Finding } from "../../report/finding.ts";
import type { Redaction } from "../../report/placeholders.ts";
import { type Redactor, redactor } from "../../report/redact.ts";
import { describeAddress } from "../../system/postgres/postgres.ts";
import type { PlanInspection } from "./look.ts";

/** Path components that identify nobody, because every Synapse has them. */
export const COMMON_PATHS: readonly string[] = [
  ...[
    "matrix-synapse",
    "homeserver.yaml",
    "homeserver.db",
    "conf.d",
    "media",
    "media_store",
    "data",
    "log.yaml",
  ],
  ...["local_content", "local_thumbnails", "remote_content", "workers", "move", "announcement", "rehearsal"],
  ...["move.passphrase", "db.password", "client", "server", "_matrix", "well-known", ".well-known"],
];

export interface PlanToRedact {
  readonly homeserver: Homeserver | undefined;
  readonly looked: PlanInspection | undefined;
  readonly findings: readonly Finding[];
  /** Other host names, with their kind: "new-host". */
  readonly hosts: readonly (readonly [kind: string, name: string])[];
}

/** For a plan that will be shared: redacts the names of this server, its users, keys and rooms, and of other hosts. */
export const planRedactor = (told: PlanToRedact): Redactor =>
  redactor(namesLeftOut(told), { paths: { keep: COMMON_PATHS } });

function namesLeftOut({ homeserver, looked, findings, hosts }: PlanToRedact): Redaction[] {
  const hidden = new Map<string, string>();
  const count = new Map<string, number>();
  const hide = (text: string, kind: string) => {
    if (text === "" || hidden.has(text)) return;
    const number = (count.get(kind) ?? 0) + 1;
    count.set(kind, number);
    hidden.set(text, kind === "this-server" ? kind : `${kind}-${number}`);
  };
  if (homeserver) {
    hide(homeserver.serverName, "this-server");
    hide(homeserver.serverName.replace(/:\d+$/, ""), "this-server");
    const { database } = homeserver;
    if (database.kind === "postgres") {
      // Short names also occur in ordinary sentences: they are redacted only within the database's address.
      hide(describeAddress({ parameters: plainly(database.args) }), "database");
      for (const key of ["host", "hostaddr", "user", "dbname", "database"])
        hide(identifyingName(database.args[key]), `database-${key}`);
    }
  }
  for (const origin of looked?.media?.remote?.largestOrigins ?? []) hide(origin.origin, "other-server");
  for (const origin of looked?.media?.remote?.unreachable.largestOrigins ?? [])
    hide(origin.origin, "other-server");
  for (const upload of looked?.media?.largest ?? []) hide(upload.mediaId, "upload");
  for (const key of keysIn(findings)) hide(key, "key");
  for (const room of roomsIn(findings)) hide(room, "room");
  for (const [kind, name] of hosts) hide(name, kind);
  return [...hidden].map(([text, placeholder]) => ({ text, placeholder }));
}

/** A name that identifies somebody, and is too long to be an ordinary word. */
const identifyingName = (value: unknown) =>
  typeof value === "string" &&
  value.length > 4 &&
  !/^(?:localhost|synapse|matrix|postgres|\/var\/run|127\.|::1$)/.test(value)
    ? value
    : "";

function plainly(args: Readonly<Record<string, unknown>>): Record<string, string> {
  const { dbname, database, host, hostaddr, port, user, service } = args;
  const given = { dbname: dbname ?? database, host, hostaddr, port, user, service };
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) =>
      typeof value === "string" || typeof value === "number" ? [[key, String(value)]] : [],
    ),
  );
}

/** Public keys: they identify the server. */
function* keysIn(findings: readonly Finding[]): Iterable<string> {
  for (const line of linesOf(findings))
    for (const [, id, key] of line.matchAll(/(ed25519:[A-Za-z0-9_]+)(?: ([A-Za-z0-9+/]{43}))?/g)) {
      yield id!;
      if (key !== undefined) yield key;
    }
}

/** Newer rooms have ids without a server's name (Matrix specification, "Room IDs"). */
function* roomsIn(findings: readonly Finding[]): Iterable<string> {
  for (const line of linesOf(findings))
    for (const [room] of line.matchAll(/![A-Za-z0-9_-]{10,}/g)) yield room;
}

const linesOf = (findings: readonly Finding[]) =>
  findings.flatMap(({ sentence, evidence = [], hint = "" }) => [sentence, ...evidence, hint]);
