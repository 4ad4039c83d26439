import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type PostgresAddress, postgresCall, realPostgres } from "../../../src/system/postgres/postgres.ts";
import type { Programs } from "../../../src/system/programs/programs.ts";
import { PostgresCluster } from "../../support/lab/postgres-cluster.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith, scriptsIn } from "../../support/real-world.ts";

// PostgreSQL's programs in another environment, as in a container: nothing of ours gets there but words and bytes.

const PASSWORD = " p@ss/w#r%d: 'it''s' \\ ünd $(spaces) ";
const log = join(temporaryFolder("elsewhere"), "commands.log");
let cluster: PostgresCluster;
let programs: Programs;

before(async () => {
  cluster = await PostgresCluster.start({
    access: ["local all postgres trust", "local all guarded scram-sha-256"],
  });
  await cluster.createRole("guarded", PASSWORD);
  const { socketFolder, port } = cluster.address;
  const there = `/usr/bin/env -i PATH=${cluster.programs}:/usr/bin:/bin PGHOST=${socketFolder} PGPORT=${port}`;
  const scripts = {
    enter: `printf '%s\\n' "$@" >> ${log}; exec ${there} "$@"`,
    deaf: `exec ${there} "$@" < /dev/null`,
    locked: "echo 'Error response from daemon: No such container: postgres' >&2; exit 1",
    // As where there is neither.
    empty: `shift; while [ "$1" != psql ]; do shift; done; echo "sh: 1: exec: $1: not found" >&2; exit 127`,
  };
  programs = programsWith({ PATH: scriptsIn(scripts) });
});
after(() => cluster.stop());

const address = (through: string, password = PASSWORD): PostgresAddress => ({
  parameters: { user: "guarded", dbname: "postgres" },
  password,
  commandPrefix: [through],
});

async function asked(to: PostgresAddress): Promise<unknown> {
  const session = await realPostgres(programs).connect(to);
  return session.one("SELECT current_user AS me").finally(() => session.close());
}

test("a password gets there by the standard input, before the questions, and stands in no command line", async () => {
  assert.deepEqual(await asked(address("enter")), { me: "guarded" });
  const call = postgresCall("pg_dump", address("enter"), ["--schema-only"]);
  assert.match(await programs.run(call), /PostgreSQL database dump complete/);
  const copy = postgresCall("psql", address("enter"), ["--command=SHOW work_mem"], {
    PGOPTIONS: "-c work_mem=99kB",
  });
  assert.match(await programs.run(copy), /99kB/, "other variables get there as well");
  assert.match(
    await programs.run(postgresCall("psql", address("enter"), ["-At"]), "SELECT 6 * 7;\n"),
    /^42$/m,
  );
  const said = readFileSync(log, "utf8");
  assert.match(said, /pg_dump/);
  assert.ok(!said.includes("p@ss"));
});

test("a password that is wrong there is told as it is here", async () => {
  await assert.rejects(asked(address("enter", "wrong")), {
    code: "database-unreachable",
    message: /via enter: .*password authentication failed for user "guarded"/,
  });
});

test("a password that no line can hold is refused, and not cut off", async () => {
  await assert.rejects(asked(address("enter", "two\nlines")), { code: "bad-usage", message: /line break/ });
});

test("a command that leads nowhere says why, and one that keeps the questions to itself what it lacks", async () => {
  for (const [through, message] of [
    ["locked", /No such container: postgres/],
    ["empty", /psql: not found/],
    ["deaf", /cannot use database postgres/],
  ] as const)
    await assert.rejects(asked(address(through)), {
      code: "database-unreachable",
      message,
      hint: /exec needs -i/,
    });
  await assert.rejects(asked(address("not-there")), {
    code: "program-missing",
    message: "not-there is not installed",
  });
});
