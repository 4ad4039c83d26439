import assert from "node:assert/strict";
import { test } from "node:test";
import { knowsRestrict } from "../../../../src/homeserver/database/fill/restrict.ts";
import { findProgram } from "../../../../src/homeserver/database/program.ts";
import type { Entry, Files } from "../../../../src/system/files/files.ts";
import { postgresProgramVersion } from "../../../../src/system/postgres/postgres.ts";
import type { Programs } from "../../../../src/system/programs/programs.ts";
import { programsBefore } from "../../../support/real-world.ts";

const INSTALLED = "/usr/lib/postgresql";

/** A host with these programs: what is in PATH, and what Debian keeps by major version. */
function host({ inPath, debian = {} }: { inPath?: string; debian?: Record<string, string> }): {
  programs: Programs;
  files: Files;
} {
  const versionOf = (name: string) => (name.startsWith("/") ? debian[name.split("/")[4]!] : inPath);
  const there = { kind: "file" } as Entry;
  return {
    programs: {
      find: (name: string) => Promise.resolve(inPath === undefined ? undefined : `/opt/bin/${name}`),
      run: ({ name }: { name: string }) =>
        Promise.resolve(`pg_dump (PostgreSQL) ${versionOf(name) ?? "?"}\n`),
    } as unknown as Programs,
    files: {
      lstat: (path: string) =>
        Promise.resolve(path === INSTALLED && Object.keys(debian).length > 0 ? there : undefined),
      list: () => Promise.resolve(Object.keys(debian)),
      stat: (path: string) => Promise.resolve(path.split("/")[4]! in debian ? there : undefined),
    } as unknown as Files,
  };
}

const needs = (major: number, program: "pg_dump" | "psql" = "pg_dump") => ({
  program,
  major,
  versionText: `${major}.4`,
});
const at = (major: number) => `${INSTALLED}/${major}/bin/pg_dump`;

test("the program in PATH is taken when it is as new as the server, or newer", async () => {
  for (const version of ["15.2", "15.18 (Debian 15.18-0+deb12u1)", "17.1", "18beta1"])
    assert.equal(
      await findProgram(needs(15), host({ inPath: version, debian: { "14": "14.2" } })),
      "pg_dump",
      version,
    );
});

test("the program of the server's own major version comes before a newer one in PATH", async () => {
  const debian = { "15": "15.18", "17": "17.5" };
  assert.equal(await findProgram(needs(15), host({ inPath: "17.5", debian })), at(15));
  assert.equal(await findProgram(needs(16), host({ inPath: "17.5", debian })), "pg_dump", "there is none");
});

test("when the one in PATH is too old the oldest that is new enough is taken, whatever order they are listed in", async () => {
  const debian = { "9.6": "9.6.1", "17": "17.0", "16": "16.3", "18": "18.1", "lost+found": "?" };
  assert.equal(await findProgram(needs(16), host({ inPath: "9.6.1", debian })), at(16));
  assert.equal(await findProgram(needs(15), host({ debian })), at(16));
  assert.equal(await findProgram(needs(17), host({ inPath: "15.1", debian })), at(17));
});

test("a pg_dump that is older than the server is refused, naming what there is and what to install", async () => {
  await assert.rejects(findProgram(needs(15), host({ inPath: "9.6.1" })), {
    code: "program-too-old",
    message: "pg_dump 9.6.1 is older than the database server, PostgreSQL 15.4, and cannot be used with it",
    hint: /apt-get install postgresql-client-15/,
  });
  await assert.rejects(findProgram(needs(17), host({ inPath: "13.1", debian: { "15": "15.2" } })), {
    code: "program-too-old",
    message: /13.1 and 15.2/,
    hint: /postgresql-client-17/,
  });
});

test("a host without the program is told the package", async () => {
  await assert.rejects(findProgram(needs(16, "psql"), host({})), {
    code: "program-missing",
    message: "psql is not installed",
    hint: /postgresql-client-16/,
  });
});

test("versions are read from what the programs of every age say", async () => {
  for (const [said, major, text] of [
    ["pg_dump (PostgreSQL) 9.6.1", 9, "9.6.1"],
    ["pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15, "15.18"],
    ["pg_dump (PostgreSQL) 18beta2", 18, "18beta2"],
    ["pg_dump (PostgreSQL) 19devel", 19, "19devel"],
  ] as const)
    assert.deepEqual(await postgresProgramVersion("pg_dump", programsBefore({ pg_dump: `echo '${said}'` })), {
      major,
      text,
    });
  await assert.rejects(postgresProgramVersion("pg_dump", programsBefore({ pg_dump: "echo hello" })), {
    code: "program-failed",
    message: /version of .* cannot be determined/,
  });
});

test("which psql can be kept from running programs is known for every supported version", () => {
  for (const version of ["13.22", "14.19", "15.14", "15.18", "16.10", "17.6", "18.0", "19devel"])
    assert.equal(knowsRestrict(version), true, version);
  for (const version of ["9.6.1", "12.22", "13.21", "14.18", "15.13", "16.9", "17.5", "17"])
    assert.equal(knowsRestrict(version), false, version);
});
