import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Interrupted } from "../../../src/errors.ts";
import type { Bytes } from "../../../src/system/bytes.ts";
import { breaksAfter, BROKEN, chunked, collect, noise } from "../../support/bytes.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { stateOf, until } from "../../support/processes.ts";
import { programsWith } from "../../support/real-world.ts";

const programs = programsWith();
const sh = (script: string) => ({ name: "sh", args: ["-c", script] });
const MEGABYTE = noise(1024 * 1024);

/** More than any pipe holds, so that somebody must read it. */
async function* endless(): Bytes {
  for (;;) yield* chunked(MEGABYTE);
}

test("a program that reads everything and says 0 passes everything on", async () => {
  assert.deepEqual(
    await collect(programs.pipe(sh("cat"), chunked("one ", MEGABYTE, " two"))),
    Buffer.concat([Buffer.from("one "), MEGABYTE, Buffer.from(" two")]),
  );
  assert.equal(await programs.run(sh("tr a-z A-Z"), "said"), "SAID");
});

test("an exit code is an error with the program's last words", async () => {
  await assert.rejects(programs.run(sh("echo out; echo first >&2; echo no space on device >&2; exit 7")), {
    code: "program-failed",
    message: "sh failed with exit code 7: first; no space on device",
    hint: /run the same command again/,
  });
});

test("a program that somebody kills is an error, though it has no exit code", async () => {
  await assert.rejects(collect(programs.pipe(sh("echo half; kill -KILL $$"))), {
    code: "program-failed",
    message: /was killed by SIGKILL/,
  });
});

test("a program that leaves before it has read everything is an error, though it says 0", async () => {
  await assert.rejects(
    collect(programs.pipe(sh("head -c 1000 >/dev/null; exit 0"), chunked(MEGABYTE, MEGABYTE))),
    {
      code: "program-failed",
      message: "sh stopped reading before everything was written to it",
    },
  );
  await assert.rejects(collect(programs.pipe(sh("exit 0"), endless())), { code: "program-failed" });
});

test("a program that leaves while the source still works is an error, though all so far fitted into the pipe", async () => {
  let left = false;
  const slow = async function* (): Bytes {
    yield Buffer.from("a few bytes");
    await until("the program to leave", () => left);
  };
  const out = programs.pipe(sh("echo $$; sleep 0.1"), slow());
  await assert.rejects(
    async () => {
      for await (const chunk of out) {
        const pid = Number(Buffer.from(chunk).toString());
        await until("the end of the program", () => stateOf(pid) === "gone");
        // What Node does when it hears of it comes in the next turns.
        setTimeout(() => (left = true), 50);
      }
    },
    { code: "program-failed", message: /stopped reading/ },
  );
});

test("a program that is not there says which package has it", async () => {
  const without = programsWith({ PATH: "/nonexistent" });
  await assert.rejects(collect(without.pipe({ name: "gpg", args: [] }, endless())), {
    code: "program-missing",
    message: "gpg is not installed",
    hint: "install it: apt-get install gnupg",
  });
  await assert.rejects(without.start({ name: "psql", args: [] }), {
    code: "program-missing",
    hint: "install it: apt-get install postgresql-client",
  });
  await assert.rejects(without.startDetached({ name: "nobody-has-this", args: [] }), {
    code: "program-missing",
    hint: "install nobody-has-this, or give its path",
  });
});

test("a source that breaks kills the program, and the source's own error comes out", async () => {
  let pid = 0;
  await assert.rejects(async () => {
    // The mark makes sure that the program runs before its source breaks.
    const source = async function* (): Bytes {
      await until("the program's first word", () => pid > 0);
      yield* breaksAfter(MEGABYTE);
    };
    for await (const chunk of programs.pipe(sh("echo $$; exec cat >/dev/null"), source()))
      pid ||= Number(Buffer.from(chunk).toString());
  }, new Error(BROKEN));
  assert.equal(stateOf(pid), "gone");
});

test("a source that breaks before the program says anything comes out all the same", async () => {
  await assert.rejects(collect(programs.pipe(sh("cat"), breaksAfter())), new Error(BROKEN));
  await assert.rejects(
    collect(programs.pipe(sh("trap '' TERM; cat; exit 0"), breaksAfter("half a dump"))),
    new Error(BROKEN),
  );
});

test("a reader that stops early kills the program and leaves no zombie", async () => {
  let pid = 0;
  for await (const chunk of programs.pipe(sh("echo $$; exec yes"))) {
    pid = Number.parseInt(Buffer.from(chunk).toString(), 10);
    break;
  }
  assert.ok(pid > 0);
  assert.equal(stateOf(pid), "gone");
});

test("a reader that stops early lets go of the source too", async () => {
  let closed = false;
  const source = async function* (): Bytes {
    try {
      yield* endless();
    } finally {
      closed = true;
    }
  };
  for await (const _ of programs.pipe(sh("cat"), source())) break;
  assert.equal(closed, true);
});

test("when the run is stopped the program is killed, and the reason is the signal and not the program", async () => {
  const controller = new AbortController();
  const stoppable = programsWith({}, controller.signal);
  const stop = new Interrupted("SIGTERM");
  let pid = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of stoppable.pipe(sh("echo $$; exec sleep 60"), endless())) {
        pid = Number(Buffer.from(chunk).toString());
        controller.abort(stop);
      }
    },
    (error) => error === stop,
  );
  assert.equal(stateOf(pid), "gone");
  await assert.rejects(stoppable.run(sh("exit 0")), (error) => error === stop, "nothing is begun any more");
});

test("when the run is stopped a conversation ends, with the signal as its reason", async () => {
  const controller = new AbortController();
  const stop = new Interrupted("SIGINT");
  const talk = await programsWith({}, controller.signal).start(sh("cat; exec sleep 60"));
  await talk.write("hello");
  await assert.rejects(
    async () => {
      for await (const _ of talk.output) controller.abort(stop);
    },
    (error) => error === stop,
  );
  assert.equal((await talk.close()).signal, "SIGKILL");
});

test("a program that takes longer than it may is ended and told, also when it left another one holding its output", async () => {
  for (const script of ["exec sleep 60", "sleep 60 & sleep 60"]) {
    const began = performance.now();
    await assert.rejects(programs.run({ ...sh(script), timeout: 300 }), {
      code: "program-failed",
      message: "sh did not end within 0.3 seconds",
    });
    assert.ok(performance.now() - began < 50_000, script);
  }
  assert.equal(await programs.run({ ...sh("echo quick"), timeout: 60_000 }), "quick\n");
});

test("a conversation with a wrapper ends when it is killed, also when what the wrapper started goes on", async () => {
  const talk = await programs.start(sh("sleep 60 & cat"));
  const began = performance.now();
  talk.kill();
  assert.equal((await talk.close()).signal, "SIGKILL");
  assert.ok(performance.now() - began < 50_000);
});

test("programs speak one language, whatever LC_ALL says, and keep the rest of it", async () => {
  const env = { PATH: process.env["PATH"] ?? "", LANG: "C", LC_ALL: "de_DE.UTF-8" };
  const got = await programsWith(env).run({ name: "env", args: [] });
  assert.deepEqual(
    got
      .split("\n")
      .filter((line) => /^L/.test(line))
      .sort(),
    ["LANG=de_DE.UTF-8", "LC_MESSAGES=C"],
  );
});

test("a secret travels on file descriptor 3 and can be seen nowhere else", async () => {
  const secret = "a secret nobody should see";
  const look = `cat <&3; echo; tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; tr '\\0' '\\n' </proc/self/environ`;
  const said = await programs.run({ ...sh(look), secret });
  const [handed, ...rest] = said.split("\n");
  assert.equal(handed, secret);
  assert.match(rest.join("\n"), /PATH=/, "the environment was looked at");
  assert.doesNotMatch(rest.join("\n"), /a secret/);
});

test("launching comes back when the program does, though it left another one running", async () => {
  const pidFile = join(temporaryFolder("launch"), "pid");
  await programs.startDetached(sh(`sleep 60 & echo $! > ${pidFile}`));
  const pid = Number(readFileSync(pidFile, "utf8"));
  assert.equal(stateOf(pid), "running");
  process.kill(pid, "SIGKILL");
});

test("launching a program that fails tells its last words, every time", async () => {
  const failures = Array.from({ length: 60 }, () =>
    assert.rejects(programs.startDetached(sh("echo the port is taken >&2; exit 3")), {
      code: "program-failed",
      message: "sh failed with exit code 3: the port is taken",
    }),
  );
  await Promise.all(failures);
});

test("launching does not wait for what a failed program left running, and tells what it said", async () => {
  const pidFile = join(temporaryFolder("launch"), "pid");
  await assert.rejects(programs.startDetached(sh(`sleep 60 & echo $! > ${pidFile}; echo bad >&2; exit 4`)), {
    message: /exit code 4: bad/,
  });
  process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");
});

test("programs get a short list of our variables and nothing else", async () => {
  const ours = {
    PATH: process.env["PATH"]!,
    HOME: "/root",
    LANG: "de_DE.UTF-8",
    TMPDIR: "/tmp",
    PGPASSWORD: "not theirs",
    PASSPHRASE: "not theirs",
    LD_PRELOAD: "",
    GNUPGHOME: "/root/.gnupg",
    NODE_OPTIONS: "--no-warnings",
  };
  const got = await programsWith(ours).run({ name: "env", args: [], env: { ADDED: "for it alone" } });
  assert.deepEqual(got.trim().split("\n").sort(), [
    "ADDED=for it alone",
    "GNUPGHOME=/root/.gnupg",
    "HOME=/root",
    "LANG=de_DE.UTF-8",
    "LC_MESSAGES=C",
    `PATH=${ours.PATH}`,
    "TMPDIR=/tmp",
  ]);
});

test("a program is found in the first folder of PATH that has it", async () => {
  assert.equal(await programsWith({ PATH: "/nonexistent:/bin:/usr/bin" }).find("sh"), "/bin/sh");
  assert.equal(await programsWith({ PATH: "/bin" }).find("nobody-has-this"), undefined);
});

test("a launched program that hangs ends with the run, all its group; one that leads back runs all the same", async () => {
  const asked = new AbortController();
  const stoppable = programsWith({}, asked.signal);
  const folder = temporaryFolder("launch");
  const started = stoppable.startDetached(sh(`echo $$ > ${folder}/pid; sleep 600 & sleep 600`));
  started.catch(() => undefined);
  await until("it runs", () => existsSync(`${folder}/pid`) && readFileSync(`${folder}/pid`, "utf8") !== "");
  const pid = Number(readFileSync(`${folder}/pid`, "utf8"));
  asked.abort(new Interrupted("SIGINT"));
  await assert.rejects(started, { name: "Interrupted" });
  await until("it is gone", () => stateOf(pid) === "gone");
  await assert.rejects(stoppable.startDetached(sh("true")), { name: "Interrupted" });
  await stoppable.startDetached(sh(`touch ${folder}/stopped`), { evenIfStopped: true });
  assert.ok(existsSync(`${folder}/stopped`));
});
