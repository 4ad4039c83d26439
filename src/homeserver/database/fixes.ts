/** Faults of a database that are mended on request, each by its own name: `--fix NAME`. */

/** On the old server, after the fence. */
export const FIX_SEQUENCES = "sequences";

/** On a private copy of an SQLite database, on its way to PostgreSQL. */
export const PORT_FIXES = {
  "auto-vacuum": "switch auto_vacuum off and rebuild the file",
  "nul-bytes": "replace each NUL character in a text by a space, as Synapse does in its search index",
  orphans: "delete rows that refer to a row that does not exist, and what refers to those",
  "pending-updates": "let Synapse finish its pending background updates",
  "unknown-tables": "leave tables behind that are not Synapse's",
} as const;

export type PortFix = keyof typeof PORT_FIXES;
export const PORT_FIX_NAMES = Object.keys(PORT_FIXES) as PortFix[];
