import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Interrupted } from "../../../src/errors.ts";
import type { Bytes } from "../../../src/system/bytes.ts";
import type { Output, ProgramCall, Programs } from "../../../src/system/programs/programs.ts";
import { breaksAfter, BROKEN, chunked, collect, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { stateOf, until } from "../../support/processes.ts";
import { programsWith } from "../../support/real-world.ts";

const MEGABYTE = noise(1024 * 1024);
const sh = (script: string): ProgramCall => ({ name: "sh", args: ["-c", script] });

/** Programs whose temporary files lie in a folder of their own, so that what is left there can be seen. */
function world(signal?: AbortSignal): { programs: Programs; temporary: string } {
  const temporary = temporaryFolder("pipes");
  return { temporary, programs: programsWith({ TMPDIR: temporary }, signal) };
}

/** Joins programs, first to last. */
const chain = (programs: Programs, scripts: readonly string[], source?: Bytes): Bytes =>
  scripts.reduce<Bytes | undefined>((before, script) => programs.pipe(sh(script), before), source)!;

/** proc(5): those that this process started and that are still there. */
const children = () =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);

function nothingLeft(temporary: string): void {
  assert.deepEqual(readdirSync(temporary), [], "no pipe lies on the disk");
  assert.deepEqual(children(), [], "no program runs any more");
}

test("programs in a chain hand everything on to each other, through pipes of the kernel", async () => {
  const { programs, temporary } = world();
  const out = await collect(
    chain(programs, ["cat", "tr a-z A-Z", "cat"], chunked("from here ", MEGABYTE, " to there")),
  );
  const expected = Buffer.from(MEGABYTE).map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte));
  assert.ok(out.equals(Buffer.concat([Buffer.from("FROM HERE "), expected, Buffer.from(" TO THERE")])));
  const kinds = await collect(
    chain(programs, ["stat -Lc %F /dev/fd/1", "cat; stat -Lc %F /dev/fd/0 /dev/fd/1", "cat"]),
  );
  assert.equal(kinds.toString(), "fifo\nfifo\nfifo\n");
  nothingLeft(temporary);
});

test("a chain may be read again, and begins anew each time", async () => {
  const { programs, temporary } = world();
  const output = chain(programs, ["echo hello", "tr a-z A-Z"]);
  for (const _ of [1, 2]) assert.equal((await collect(output)).toString(), "HELLO\n");
  nothingLeft(temporary);
});

test("a call that is told to stop takes its chain along, and the reason is thrown, whoever takes the output", async () => {
  for (const take of [
    (output: Output) => collect(output),
    (output: Output) => output.digestGzip({ packing: "none", tail: 100 }),
    async (output: Output) => {
      const file = await open(join(temporaryFolder("into"), "file"), "w");
      await output.writeTo(file.fd).finally(() => file.close());
    },
  ]) {
    const { programs, temporary } = world();
    const controller = new AbortController();
    const call = { ...sh("echo begun; exec sleep 60"), signal: controller.signal };
    const output = programs.pipe(sh("exec cat"), programs.pipe(call));
    const reason = new Error("no longer needed");
    setTimeout(() => {
      controller.abort(reason);
    }, 200);
    await assert.rejects(take(output), (error) => error === reason);
    nothingLeft(temporary);
    await assert.rejects(take(output), (error) => error === reason, "and it does not begin again");
  }
});

test("what goes out before a program's own output comes first, in a chain and alone", async () => {
  const { programs, temporary } = world();
  const first = { ...sh("echo second"), outputPrefix: "first ünd\n" };
  assert.equal((await collect(programs.pipe(first))).toString(), "first ünd\nsecond\n");
  const joined = programs.pipe(sh("cat"), programs.pipe(first));
  assert.equal((await collect(joined)).toString(), "first ünd\nsecond\n");
  const long = programs.pipe(sh("cat"), programs.pipe({ ...first, outputPrefix: "x".repeat(4097) }));
  await assert.rejects(collect(long), RangeError);
  nothingLeft(temporary);
});

for (const [what, scripts, error] of [
  ["the first is killed half way", ["head -c 100000 /dev/zero; kill -KILL $$", "cat", "cat"], /by SIGKILL/],
  ["the middle one is killed half way", ["yes", "head -c 5000; kill -KILL $$", "cat"], /by SIGKILL/],
  ["the last is killed half way", ["yes", "cat", "head -c 5000; kill -KILL $$"], /by SIGKILL/],
  ["the first fails at its start", ["echo no luck >&2; exit 1", "cat", "cat"], /exit code 1: no luck/],
  ["the middle one fails at its start", ["yes", "echo no luck >&2; exit 2", "cat"], /exit code 2: no luck/],
  ["the last fails at its start", ["yes", "cat", "echo no luck >&2; exit 3"], /exit code 3: no luck/],
  ["the first fails at its end", ["echo all; echo bad >&2; exit 4", "cat", "cat"], /exit code 4: bad/],
  ["the middle one fails at its end", ["echo all", "cat; echo bad >&2; exit 5", "cat"], /exit code 5: bad/],
  ["the last fails at its end", ["echo all", "cat", "cat; echo bad >&2; exit 6"], /exit code 6: bad/],
  [
    "one fails and leaves a program that keeps its outputs",
    ["echo all", "cat", "sleep 3 & echo bad >&2; exit 7"],
    /exit code 7: bad/,
  ],
  ["the middle one leaves early and says 0", ["yes", "head -c 10; exit 0", "cat"], /stopped reading before/],
  ["the last leaves early and says 0", ["yes", "cat", "head -c 10; exit 0"], /stopped reading before/],
  [
    "one leaves early and says 0, though all that was written fitted into the pipe",
    ["head -c 2000 /dev/zero", "sleep 0.2; exit 0", "cat"],
    /stopped reading before/,
  ],
  [
    "one leaves early and says 0, and the one before it never writes again",
    ["exec sleep 60", "exit 0", "cat"],
    /stopped reading before/,
  ],
] as const)
  test(`when ${what}, a chain fails, that one is told, and the others go with it`, async () => {
    const { programs, temporary } = world();
    const began = performance.now();
    await assert.rejects(collect(chain(programs, scripts)), { code: "program-failed", message: error });
    assert.ok(performance.now() - began < 50_000);
    nothingLeft(temporary);
  });

test("of a chain with a program that is not there, its package is named, wherever it stands", async () => {
  for (const at of [0, 1, 2]) {
    const { programs, temporary } = world();
    const calls = [sh("yes"), sh("cat"), sh("cat")].with(at, { name: "/nonexistent/gpg", args: [] });
    const output = calls.reduce<Bytes | undefined>((before, call) => programs.pipe(call, before), undefined);
    await assert.rejects(collect(output!), { code: "program-missing", message: /gpg is not installed/ });
    nothingLeft(temporary);
  }
});

test("a chain whose reader stops early ends, all of it", async () => {
  const { programs, temporary } = world();
  for await (const _ of chain(programs, ["yes", "cat", "cat"])) break;
  nothingLeft(temporary);
});

test("a chain whose source breaks ends with the source's own error", async () => {
  const { programs, temporary } = world();
  for (const chunk of ["half a dump", MEGABYTE])
    await assert.rejects(
      collect(chain(programs, ["cat", "cat", "cat"], breaksAfter(chunk))),
      new Error(BROKEN),
    );
  nothingLeft(temporary);
});

test("when the run is stopped all of a chain is killed, and the reason is the signal", async () => {
  const controller = new AbortController();
  const { programs, temporary } = world(controller.signal);
  const stop = new Interrupted("SIGTERM");
  let pid = 0;
  await assert.rejects(
    async () => {
      // Those that do not listen to anything are ended as well.
      for await (const chunk of chain(programs, [
        "trap '' TERM PIPE; echo $$; exec sleep 60",
        "cat",
        "cat",
      ])) {
        pid = Number(Buffer.from(chunk).toString());
        controller.abort(stop);
      }
    },
    (error) => error === stop,
  );
  await until("the first is gone", () => stateOf(pid) === "gone");
  await assert.rejects(collect(chain(programs, ["echo", "cat"])), (error) => error === stop);
  nothingLeft(temporary);
});

test("a secret and a variable in a chain are seen by the program that they are for, and by no other", async () => {
  const { programs } = world();
  const look =
    "tr '\\0' '\\n' </proc/$$/environ; tr '\\0' ' ' </proc/$$/cmdline; echo; ls -1 /proc/$$/fd; true";
  const first = { ...sh(`${look}; cat <&3`), secret: "for-the-first", env: { WORD: "also-for-it" } };
  const second = sh(`cat; echo; echo ---; ${look}`);
  const said = (await collect(programs.pipe(second, programs.pipe(first)))).toString();
  const [ofFirst = "", ofSecond = ""] = said.split("\n---\n");
  assert.match(ofFirst, /for-the-first/);
  assert.match(ofFirst, /WORD=also-for-it/);
  assert.match(ofSecond, /PATH=/, "the environment was looked at");
  assert.doesNotMatch(ofSecond, /for-the-first|also-for-it/);
  const numbers = (text: string) => text.split("\n").filter((line) => /^\d+$/.test(line));
  const alone = numbers(await programs.run(sh(look), "a word"));
  assert.deepEqual(numbers(ofSecond), alone, "it has no descriptor of ours or of another");
});

test("each program of a chain runs in its own folder", async () => {
  const { programs } = world();
  const folder = temporaryFolder("folder");
  const output = programs.pipe(sh("cat; /bin/pwd"), programs.pipe({ ...sh("/bin/pwd"), folder }));
  assert.equal((await collect(output)).toString(), `${folder}\n${process.cwd()}\n`);
});

test("without a folder for temporary files no chain is begun, and the hint says how to name another", async () => {
  const programs = programsWith({ TMPDIR: "/nonexistent" });
  await assert.rejects(collect(chain(programs, ["echo", "cat"])), { code: "file-missing", hint: /TMPDIR/ });
  assert.deepEqual(children(), []);
});
