import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { postgresPrograms, programsOf } from "../lab/postgres-cluster.ts";
import { temporaryFolder } from "../lab/temporary-folder.ts";

/**
 * A folder with all programs that a standby of this major version needs. The lab's older servers come without two of them:
 * pg_basebackup is Debian's, which copies older servers, too, and pg_controldata stands in for one of that version.
 */
export function olderPrograms(major: number): string {
  const folder = temporaryFolder("programs");
  for (const name of ["postgres", "pg_ctl"]) symlinkSync(join(programsOf(major), name), join(folder, name));
  symlinkSync(join(postgresPrograms()!, "pg_basebackup"), join(folder, "pg_basebackup"));
  const file = join(folder, "pg_controldata");
  writeFileSync(file, CONTROL_DATA);
  chmodSync(file, 0o755);
  return folder;
}

/** The identifier is the first field of the file (PostgreSQL, src/include/catalog/pg_control.h). */
const CONTROL_DATA = `#!/bin/sh
echo "Database system identifier:           $(od -An -tu8 -N8 "$2/global/pg_control" | tr -d ' ')"
`;
