import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";

/** A temporary folder with these files in it, removed when the test ends. */
export function folderWith(t: TestContext, contents: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = mkdtempSync(join(tmpdir(), "synlift-homeserver-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content, { mode: 0o640 });
  }
  return folder;
}

/** The least that Synapse starts with, besides what a test is about. */
export const MINIMUM = `server_name: example.org
report_stats: no
database:
  name: sqlite3
  args:
    database: homeserver.db
`;
