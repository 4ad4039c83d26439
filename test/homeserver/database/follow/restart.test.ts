import assert from "node:assert/strict";
import { test } from "node:test";
import { MigrationError } from "../../../../src/errors.ts";
import { restartPostgres, unitOfPostgres } from "../../../../src/homeserver/database/follow/restart.ts";
import type { Files } from "../../../../src/system/files/files.ts";
import type { PostgresSession } from "../../../../src/system/postgres/postgres.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { programsBefore } from "../../../support/real-world.ts";

const facts = {
  settings: { data_directory: { value: "/data", source: "default" } },
  disk: { free: 1, folder: "/data/pg_wal" },
};
const unitFor = (group: string, pid = "4711\n/data\n") => {
  const texts: Readonly<Record<string, string>> = { "/data/postmaster.pid": pid, "/proc/4711/cgroup": group };
  const readText = (path: string) => {
    const text = texts[path];
    return text === undefined
      ? Promise.reject(new MigrationError("file-missing", `${path} does not exist`))
      : Promise.resolve(text);
  };
  return unitOfPostgres(facts, { files: { readText } as Files });
};

test("the unit that runs PostgreSQL is found by its process, and never that of a container or of a person's session", async () => {
  const slice = "/system.slice/system-postgresql.slice/";
  assert.equal(await unitFor(`0::${slice}postgresql@15-main.service\n`), "postgresql@15-main.service");
  assert.equal(
    await unitFor(
      "12:pids:/system.slice/postgresql-16.service\n1:name=systemd:/system.slice/postgresql-16.service\n",
    ),
    "postgresql-16.service",
  );
  for (const group of [
    "0::/system.slice/docker-0123abcd.scope\n",
    "0::/machine.slice/libpod-1.scope/postgres.service\n",
    "0::/user.slice/user-0.slice/session-2.scope\n",
    "0::/system.slice/postgres evil; rm.service\n",
    "",
  ])
    assert.equal(await unitFor(group), undefined, group);
  assert.equal(await unitFor("0::/system.slice/postgresql.service", "not a number"), undefined);
});

/** A server that answers with these levels, one for each connection; undefined while it does not answer. */
function connecting(levels: (string | undefined)[]) {
  return () => {
    const level = levels.shift();
    if (level === undefined) return Promise.reject(new MigrationError("database-unreachable", "starting"));
    return Promise.resolve({
      one: () => Promise.resolve({ level }),
      close: () => Promise.resolve(),
    } as unknown as PostgresSession);
  };
}

test("a restart waits until PostgreSQL answers with the new level, and says when something overrides it", async () => {
  const programs = programsBefore({ systemctl: "exit 0" });
  const system = { programs, machine: machineWith(), signal: new AbortController().signal };
  await restartPostgres("postgresql.service", connecting([undefined, "logical"]), system);
  await assert.rejects(restartPostgres("postgresql.service", connecting(["replica"]), system), {
    code: "follow-impossible",
    message: /restarted, and wal_level is still replica/,
  });
  let late = 0;
  const slow = machineWith({ elapsed: () => (late += 100_000), wait: () => Promise.resolve() });
  await assert.rejects(restartPostgres("postgresql.service", connecting([]), { ...system, machine: slow }), {
    code: "start-failed",
    message: /does not answer after systemctl restart postgresql\.service/,
  });
});
