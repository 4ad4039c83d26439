import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withoutWrapper } from "../../../src/system/postgres/postgres.ts";
import { postgresPrograms } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";

/** A PATH of one folder, in which these names lead to a program of this path. */
function pathWith(program: string, names: readonly string[]) {
  const folder = temporaryFolder("wrapper");
  const file = join(folder, program);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, "#!/bin/sh\nexit 1\n");
  chmodSync(file, 0o755);
  for (const name of names) symlinkSync(file, join(folder, name));
  return {
    find: (name: string) => Promise.resolve(names.includes(name) ? join(folder, name) : undefined),
  };
}

test("Debian's wrapper is passed over for the newest program that it would choose from", async () => {
  const debian = pathWith("share/postgresql-common/pg_wrapper", ["psql", "pg_dump"]);
  for (const name of ["psql", "pg_dump"])
    assert.equal(await withoutWrapper(name, debian), join(postgresPrograms()!, name));
});

test("any other program, one that is not there, and one that Debian has in no version keep their names", async () => {
  const other = pathWith("bin/pg_wrapper", ["psql"]);
  assert.equal(await withoutWrapper("psql", other), "psql");
  assert.equal(await withoutWrapper("pg_dump", other), "pg_dump");
  const debian = pathWith("share/postgresql-common/pg_wrapper", ["pg_unheard_of"]);
  assert.equal(await withoutWrapper("pg_unheard_of", debian), "pg_unheard_of");
});
