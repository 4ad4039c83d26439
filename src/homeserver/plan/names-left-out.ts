import type { Finding } from "../../report/finding.ts";
import type { Hidden } from "../../report/stand-ins.ts";
import { describeAddress } from "../../system/postgres.ts";
import type { Homeserver } from "../homeserver.ts";
import type { Looked } from "./look.ts";

/** Path components that say nothing about whose they are: every Synapse has them. */
export const USUAL_PATHS = [
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

/** What must not stand in a plan that is handed on: this server's names, this host's, those of other servers. */
export function namesLeftOut(
  homeserver: Homeserver | undefined,
  looked: Looked | undefined,
  findings: readonly Finding[],
  others: readonly (readonly [kind: string, name: string])[],
): Hidden[] {
  const hidden = new Map<string, string>();
  const count = new Map<string, number>();
  const hide = (text: string, kind: string) => {
    if (text === "" || hidden.has(text)) return;
    const number = (count.get(kind) ?? 0) + 1;
    count.set(kind, number);
    hidden.set(text, number === 1 && kind === "this-server" ? kind : `${kind}-${number}`);
  };
  if (homeserver) {
    hide(homeserver.serverName, "this-server");
    const { database } = homeserver;
    if (database.kind === "postgres") {
      // Short names stand in ordinary sentences too: only where they mean the database they are left out.
      hide(describeAddress({ parameters: plainly(database.args) }), "database");
      for (const key of ["host", "hostaddr", "user", "dbname", "database"])
        hide(telling(database.args[key]), `database-${key}`);
    }
  }
  for (const origin of looked?.media?.remote?.largestOrigins ?? []) hide(origin.origin, "other-server");
  for (const origin of looked?.media?.remote?.unreachable.largestOrigins ?? [])
    hide(origin.origin, "other-server");
  for (const upload of looked?.media?.largest ?? []) hide(upload.mediaId, "upload");
  for (const key of keysIn(findings)) hide(key, "key");
  for (const [kind, name] of others) hide(name, kind);
  return [...hidden].map(([name, as]) => ({ text: name, as }));
}

/** A name that says something of somebody, and is long enough to be no ordinary word. */
const telling = (value: unknown) =>
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

/** Public keys: whoever knows one finds the server that it belongs to. */
function* keysIn(findings: readonly Finding[]): Iterable<string> {
  for (const { sentence, evidence = [], hint = "" } of findings)
    for (const line of [sentence, ...evidence, hint])
      for (const [, id, key] of line.matchAll(/(ed25519:[A-Za-z0-9_]+)(?: ([A-Za-z0-9+/]{43}))?/g)) {
        yield id!;
        if (key !== undefined) yield key;
      }
}
