import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import {
  generatePassphrase,
  passphraseFileOf,
  passphraseForExport,
  passphraseFromSource,
} from "../../src/bundle/passphrase.ts";
import { exportCommand } from "../../src/commands/export.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { commandLine } from "../../src/commands/menu.ts";
import { DATABASE_OPTIONS, parseDatabaseAddress } from "../../src/commands/options/database.ts";
import {
  ACCEPT,
  conflicts,
  DRY_RUN,
  exactlyOne,
  parseOptions,
  PASSPHRASE_OPTIONS,
  requires,
  sizeOf,
  withRules,
} from "../../src/commands/options/shared.ts";
import { pullCommand } from "../../src/commands/pull.ts";
import { restoreCommand } from "../../src/commands/restore.ts";
import { realFiles } from "../../src/system/files/files.ts";
import type { System } from "../../src/system/system.ts";
import { noise } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

/** A system with nobody in front of it. */
function systemWith(drawable = false): { system: System; said: string[] } {
  const said: string[] = [];
  const terminal = { drawable, interactive: false, err: (text: string) => void said.push(text) };
  return {
    said,
    system: {
      files: realFiles,
      programs: programsWith(),
      machine: machineWith({ user: "me" }),
      terminal,
      signal: new AbortController().signal,
    } as unknown as System,
  };
}
const { system } = systemWith();

function fileWith(content: string | Uint8Array): string {
  const path = join(temporaryFolder("options"), "file");
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

test("sizes are read as GNU split reads them", () => {
  for (const [text, bytes] of [
    ["1", 1],
    ["100", 100],
    ["1k", 1024],
    ["100m", 104_857_600],
    ["100M", 104_857_600],
    ["2g", 2_147_483_648],
    ["1t", 1_099_511_627_776],
  ] as const)
    assert.equal(sizeOf(text), bytes, text);
  for (const text of [
    "",
    "0",
    "0m",
    "-1",
    "1.5m",
    "m",
    "10 m",
    "10mb",
    "1e3",
    "9999999999999",
    "999999999999t",
    "0x10",
  ])
    assert.throws(() => sizeOf(text), { code: "bad-usage", message: `--split: ${text} is not a size` }, text);
});

test("an address with a password in it is refused, without repeating it", async () => {
  for (const text of [
    "host=db dbname=x password=hunter2",
    "postgresql://me:hunter2@db/x",
    "postgresql://db/x?password=hunter2",
    "dbname=x sslpassword=hunter2",
    "password='hunter2",
  ]) {
    await assert.rejects(
      parseDatabaseAddress(text, undefined, system),
      (error: Error & { code: string; hint: string }) => {
        assert.equal(error.code, "bad-usage", text);
        assert.doesNotMatch(`${error.stack ?? ""} ${error.hint}`, /hunter2/);
        return true;
      },
    );
  }
});

test("a database's password is the one line of its file, and the user is ours when none is named", async () => {
  const to = await parseDatabaseAddress("host=db dbname=x", fileWith("p@ss 'word' \\ \n"), system);
  assert.deepEqual(to, { parameters: { user: "me", host: "db", dbname: "x" }, password: "p@ss 'word' \\ " });
  assert.deepEqual(await parseDatabaseAddress("postgresql://you@db/x", undefined, system), {
    parameters: { user: "you", host: "db", dbname: "x" },
  });
  await assert.rejects(parseDatabaseAddress("host=db", undefined, system), {
    code: "bad-usage",
    message: /has no dbname/,
  });
  await assert.rejects(parseDatabaseAddress("dbname=x", "/nonexistent/password", system), {
    code: "file-missing",
  });
});

test("--database-command reaches every PostgreSQL database of the new host", async () => {
  const postgres = { connect: () => Promise.resolve({ close: () => Promise.resolve() }) };
  const given = {
    database: "host=db dbname=x",
    stateDatabase: "host=db dbname=y",
    createRole: false,
    databaseCommand: ["docker", "exec", "-i", "postgres"],
  };
  const read = await DATABASE_OPTIONS.read(given, { name: "own" }, { owner: undefined }, {
    ...system,
    postgres,
  } as unknown as System);
  for (const target of [read.database, read.stateDatabase])
    assert.deepEqual(target?.engine === "postgres" && target.address.commandPrefix, given.databaseCommand);
});

test("what was typed wrong is named by its option, all of it at once", () => {
  const schema = z.object({
    argument: z.string(),
    bundleFolder: z.string(),
    ...PASSPHRASE_OPTIONS.schema,
    ...ACCEPT.schema,
    ...DRY_RUN.schema,
  });
  assert.throws(
    () => parseOptions(schema, { passphraseFd: "two" }),
    (error: Error & { code: string; hint: string }) => {
      assert.equal(error.code, "bad-usage");
      assert.equal(error.hint, "--help shows an example");
      const [argument, folder, descriptor] = error.message.split("; ");
      assert.equal(argument, "the bundle: must be given");
      assert.equal(folder, "--bundle-folder: must be given");
      assert.match(descriptor!, /^--passphrase-fd: /);
      return true;
    },
  );
  assert.deepEqual(parseOptions(schema, { argument: "b", bundleFolder: "f", passphraseFd: "3" }), {
    argument: "b",
    bundleFolder: "f",
    passphraseFd: 3,
    accept: [],
    dryRun: false,
  });
  for (const passphraseFd of ["0", "1", "2", "-1", "3.5"])
    assert.throws(
      () => parseOptions(z.object(PASSPHRASE_OPTIONS.schema), { passphraseFd }),
      { code: "bad-usage" },
      passphraseFd,
    );
});

test("a passphrase comes from a file, a descriptor or a command, without its line end", async () => {
  const path = fileWith("my secret words\r\n");
  assert.equal(await passphraseFromSource({ file: path }, system), "my secret words");
  const descriptor = openSync(path, "r");
  assert.equal(
    await passphraseFromSource(PASSPHRASE_OPTIONS.read({ passphraseFd: descriptor }), system),
    "my secret words",
  );
  closeSync(descriptor);
  assert.equal(
    await passphraseFromSource({ command: "printf 'from a %s\\n' command" }, system),
    "from a command",
  );
  assert.equal(await passphraseFromSource({}, system), undefined);
  assert.equal(await passphraseFromSource({ file: fileWith("é".repeat(127)) }, system), "é".repeat(127));
});

test("a passphrase that is empty, has two lines or is too long for gpg's own prompt is refused, and not shown", async () => {
  for (const [content, why] of [
    ["", /is empty/],
    ["\n", /is empty/],
    ["hunter2\nhunter3\n", /more than one line/],
    ["hunter2\n\n", /more than one line/],
    ["hunter2\0x", /more than one line/],
    ["hunter2" + "x".repeat(249), /longer than 255 bytes/],
    ["é".repeat(128), /longer than 255 bytes/],
  ] as const) {
    const file = fileWith(content);
    await assert.rejects(
      passphraseFromSource({ file }, system),
      (error: Error & { code: string; hint: string }) => {
        assert.equal(error.code, "passphrase-invalid");
        assert.match(error.message, why);
        assert.doesNotMatch(`${error.stack ?? ""} ${error.hint}`, /hunter/);
        return true;
      },
    );
  }
  await assert.rejects(passphraseFromSource({ command: "true" }, system), {
    code: "passphrase-invalid",
    message: /^the passphrase command/,
  });
  await assert.rejects(passphraseFromSource({ command: "exit 3" }, system), { code: "program-failed" });
});

test("two sources of a passphrase are one too many", async () => {
  const file = fileWith("x");
  for (const source of [
    { file, descriptor: 3 },
    { file, command: "echo x" },
    { descriptor: 3, command: "echo x" },
    { file, descriptor: 3, command: "x" },
  ])
    await assert.rejects(passphraseFromSource(source, system), {
      code: "bad-usage",
      message: /more than one way/,
      hint: /choose one/,
    });
});

test("a passphrase that is made has 64 letters and digits, each as likely as the other", () => {
  const made = generatePassphrase((bytes) => noise(bytes, 77));
  assert.match(made, /^[A-Za-z0-9]{64}$/);
  let all = "";
  for (let seed = 1; seed <= 300; seed++) all += generatePassphrase((bytes) => noise(bytes, seed));
  const counts = [...new Set(all)].map((letter) => all.split(letter).length - 1);
  assert.equal(counts.length, 62);
  const expected = all.length / 62;
  assert.ok(
    Math.min(...counts) > expected * 0.7 && Math.max(...counts) < expected * 1.3,
    `${Math.min(...counts)} to ${Math.max(...counts)}`,
  );
  assert.match(
    generatePassphrase((bytes) => new Uint8Array(bytes).fill(247)),
    /^9{64}$/,
  );
});

test("a passphrase that is made is written once, privately, beside the bundle, and found again", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  const notes: string[] = [];
  const { passphrase: made, isRandom } = await passphraseForExport(folder, {}, system, (note) =>
    notes.push(note),
  );
  assert.equal(isRandom, true);
  const path = passphraseFileOf(folder);
  assert.equal(path, `${folder}.passphrase`);
  assert.equal(execFileSync("stat", ["-c", "%a", path], { encoding: "utf8" }).trim(), "600");
  const again = await passphraseForExport(folder, {}, system, (note) => notes.push(note));
  assert.deepEqual(again, { passphrase: made, isRandom: true });
  assert.match(notes[0]!, /was generated and written to/);
  assert.match(notes[1]!, /is the one in/);
  assert.equal(notes.join().includes(made), false, "a note may end up in a log");
});

test("a passphrase that somebody chose is never taken for a random one, though it lies where a generated one would", async () => {
  const folder = join(temporaryFolder("out"), "bundle");
  const chosen = "correct horse battery staple";
  writeFileSync(passphraseFileOf(folder), `${chosen}\n`);
  const kept = await passphraseForExport(folder, {}, system, () => undefined);
  assert.deepEqual(kept, { passphrase: chosen, isRandom: false });
  const given = await passphraseForExport(
    folder,
    { file: passphraseFileOf(folder) },
    system,
    () => undefined,
  );
  assert.deepEqual(given, { passphrase: chosen, isRandom: false });
});

test("a passphrase that is made is shown only to a person who asked for it, once, and never to a log", async () => {
  const unasked = systemWith(true);
  await passphraseForExport(join(temporaryFolder("options"), "bundle"), {}, unasked.system, () => undefined);
  assert.deepEqual(unasked.said, []);
  for (const drawable of [true, false]) {
    const seen = systemWith(drawable);
    const folder = join(temporaryFolder("out"), "bundle");
    const { passphrase: made } = await passphraseForExport(
      folder,
      { show: true },
      seen.system,
      () => undefined,
    );
    await passphraseForExport(folder, { show: true }, seen.system, () => undefined);
    assert.deepEqual(seen.said, drawable ? [`passphrase: ${made}\n`] : []);
  }
});

test("rules between options name the option that is wrong, and what it needs or excludes", () => {
  const schema = withRules(
    z.object({
      argument: z.string().optional(),
      fromCommand: z.string().optional(),
      sshConfig: z.string().optional(),
      startCommand: z.string().optional(),
      stopCommand: z.string().optional(),
      unit: z.array(z.string()).default([]),
      fence: z.boolean().default(true),
    }),
    exactlyOne("give a host or --from-command", "argument", "fromCommand"),
    conflicts("fromCommand", "sshConfig", "unit"),
    requires("startCommand", "stopCommand", "unit"),
    conflicts("noFence", "unit"),
  );
  const message = (given: Record<string, unknown>) => {
    try {
      parseOptions(schema, given);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(message({ argument: "h" }), undefined);
  assert.equal(message({}), "give a host or --from-command");
  assert.equal(message({ argument: "h", fromCommand: "c" }), "give a host or --from-command");
  assert.equal(message({ argument: "h", sshConfig: "f", startCommand: "s", unit: ["u"] }), undefined);
  assert.equal(
    message({ fromCommand: "c", sshConfig: "f", unit: ["u"] }),
    "--from-command: cannot be combined with --ssh-config, --unit",
  );
  assert.equal(
    message({ argument: "h", startCommand: "s" }),
    "--start-command: requires --stop-command or --unit",
  );
  assert.equal(
    message({ argument: "h", fence: false, unit: ["u"] }),
    "--no-fence: cannot be combined with --unit",
  );
});

test("a direct transfer takes an address or a command, and options of ssh only with an address", () => {
  const parse = (given: Record<string, unknown>) => () => pullCommand.parse(given);
  assert.equal(parse({ argument: "ssh://old" })().argument, "ssh://old");
  assert.throws(parse({}), { code: "bad-usage", message: /^give either the address of the old host/ });
  assert.throws(parse({ argument: "ssh://old", fromCommand: "c" }), { code: "bad-usage" });
  assert.throws(parse({ fromCommand: "c", exportFolder: "f" }), {
    code: "bad-usage",
    message: "--from-command: cannot be combined with --export-folder",
  });
});

test("parallel jobs are a whole number, and a dump has one of two formats", () => {
  const jobs = (text: string) => () => restoreCommand.parse({ argument: "b", jobs: text });
  for (const text of ["1", "64"]) assert.equal(jobs(text)().jobs, Number(text));
  for (const text of ["0", "65", "1.5", "two", "-1"])
    assert.throws(
      jobs(text),
      { code: "bad-usage", message: /--jobs: write a whole number from 1 to 64/ },
      text,
    );
  assert.throws(() => exportCommand.parse({ out: "o", dbFormat: "tar" }), {
    message: /write plain or custom/,
  });
});

test("the help shows the options in groups, marks required ones, and leaves out hidden commands", () => {
  let said = "";
  const menu = commandLine(COMMANDS, () => undefined, {
    out: (text) => (said += text),
    err: () => undefined,
  });
  const helpOf = (...args: string[]) => {
    said = "";
    assert.throws(() => menu.parse([...args, "--help"], { from: "user" }), { exitCode: 0 });
    return said;
  };
  const help = helpOf("export");
  const headings = [...help.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, [
    "Common options",
    "Configuration of the homeserver",
    "Stop and fence of the old server",
    "Web server of the old host",
    "Encryption",
    "Contents of the bundle",
    "Trial of the schema",
    "Transfer",
    "General",
    "Example",
  ]);
  const unwrapped = help.replaceAll(/\s+/g, " ");
  assert.match(unwrapped, / --out <folder> [^-]*\(required\) /);
  assert.match(unwrapped, / --archive-size <size> .*\(default: 10g\) /);
  assert.doesNotMatch(helpOf(), /pull-sender/);
  assert.match(helpOf("pull-sender"), /synlift pull-sender \[options\]/);
});
