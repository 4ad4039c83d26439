import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { Outcome } from "../../src/commands/command.ts";
import { COMMANDS } from "../../src/commands/index.ts";
import { type ChosenCommand, commandLine } from "../../src/commands/menu.ts";
import { MigrationError } from "../../src/errors.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realWebServers } from "../../src/system/http/serve.ts";
import { realMachine } from "../../src/system/machine.ts";
import { noProgress } from "../../src/system/progress.ts";
import type { System } from "../../src/system/system.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { type Ran, resultOf, synlift } from "../support/synlift.ts";

// The commands for the old address, as they are typed.

const folder = temporaryFolder("old-address");
const OLD = ["--old", "https://old.example.org"];
const NEW = ["--new", "https://new.example.org"];
const SIGN_OUT = ["--soft", "--no-survey", ...NEW];

/** Runs a command in this process, with the real file system and programs. */
async function run(args: readonly string[]): Promise<Outcome> {
  let chosen: ChosenCommand | undefined;
  const silent = { out: () => undefined, err: () => undefined };
  await commandLine(COMMANDS, (choice) => (chosen = choice), silent).parseAsync([...args], { from: "user" });
  const system = {
    files: realFiles,
    programs: programsWith(),
    webServers: realWebServers,
    machine: realMachine(process.pid, folder),
    terminal: { interactive: false },
    signal: new AbortController().signal,
  };
  return chosen!.entry.run(chosen!.given, system as unknown as System, noProgressView);
}

const noProgressView = {
  ...noProgress,
  outage: () => undefined,
  live: () => undefined,
  stop: () => undefined,
};

const isUsage = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MigrationError, String(error));
  assert.equal(error.code, "bad-usage");
  assert.match(error.message, words);
  assert.doesNotMatch(error.message, /secret/);
  return true;
};

test("a file is written for everyone to read, says what it is for, and is replaced by the next run", async () => {
  const out = join(folder, "site.conf");
  const { details } = await run(["forward", ...OLD, ...NEW, "--for", "nginx", "--out", out]);
  const text = readFileSync(out, "utf8");
  assert.match(
    text,
    /^# Written by synlift\. It forwards old\.example\.org to https:\/\/new\.example\.org\./,
  );
  assert.match(text, /proxy_pass https:\/\/new\.example\.org;/);
  assert.equal(statSync(out).mode & 0o777, 0o644);
  assert.equal(details["text"], text);
  await run(["maintenance", ...OLD, "--for", "nginx", "--out", out]);
  assert.match(readFileSync(out, "utf8"), /return 503/);
});

test("a file that synlift did not write is never replaced", async () => {
  const out = join(folder, "mine.conf");
  writeFileSync(out, "server { }\n");
  await assert.rejects(
    run(["maintenance", ...OLD, "--for", "nginx", "--out", out]),
    isUsage(/mine\.conf exists/),
  );
  assert.equal(readFileSync(out, "utf8"), "server { }\n");
});

test("a file for Traefik without anything that obtains a certificate comes with a warning", async () => {
  const traefik = ["forward", ...OLD, ...NEW, "--for", "traefik", "--web-server", "http://127.0.0.1:8080"];
  const idsWith = async (args: readonly string[]) => {
    const { findings } = await run([...traefik, ...args]);
    return findings.map(({ id }) => id);
  };
  assert.ok((await idsWith([])).includes("certificate-resolver"));
  assert.ok(!(await idsWith(["--cert-resolver", "le"])).includes("certificate-resolver"));
  assert.ok(
    !(await idsWith(["--certificate", "full.pem", "--key", "key.pem"])).includes("certificate-resolver"),
  );
});

test("a dry run shows the file and writes none", async () => {
  const out = join(folder, "dry.conf");
  const { lines } = await run(["forward", ...OLD, ...NEW, "--for", "caddy", "--out", out, "--dry-run"]);
  assert.match(lines.join("\n"), /dry\.conf would be written:[^]*reverse_proxy https:\/\/new\.example\.org/);
  assert.throws(() => statSync(out));
});

const WRONG: readonly (readonly [string, string[], RegExp])[] = [
  ["a sign-out without a choice", ["sign-out", "config", ...OLD, ...NEW, "--for", "nginx"], /--soft/],
  [
    "a sign-out of both kinds",
    ["sign-out", "config", ...OLD, ...SIGN_OUT, "--hard", "--for", "nginx"],
    /--hard/,
  ],
  ["an unknown program", ["forward", ...OLD, ...NEW, "--for", "lighttpd"], /--for: must be one of nginx/],
  [
    "an address with a path",
    ["forward", "--old", "https://old.example.org/x", ...NEW, "--for", "nginx"],
    /--old/,
  ],
  [
    "an address with a password",
    ["forward", ...OLD, "--new", "https://a:secret@b.org", "--for", "nginx"],
    /--new/,
  ],
  [
    "a loop",
    ["forward", ...OLD, "--new", "https://old.example.org:443", "--for", "nginx"],
    /--new: is the old address/,
  ],
  [
    "a sign-out that would ask itself",
    [
      "sign-out",
      "config",
      ...OLD,
      "--soft",
      "--no-survey",
      "--new",
      "https://OLD.example.org",
      "--for",
      "nginx",
    ],
    /--new: is the old address/,
  ],
  [
    "a key without its certificate, which would be an answer without encryption",
    ["maintenance", "serve", "--key", "key.pem"],
    /--key: requires --certificate/,
  ],
  ["an address that is none", ["maintenance", "serve", "--listen", "999.1.1.1:80"], /999\.1\.1\.1:80 is not/],
  ["an IPv6 address without brackets", ["maintenance", "serve", "--listen", "::1:8089"], /::1:8089 is not/],
  [
    "two places for the other paths",
    ["maintenance", "serve", "--web-root", "/srv", "--web-server", "http://127.0.0.1:8080"],
    /--web-root: cannot be combined with --web-server/,
  ],
  ["a port that is none", ["maintenance", ...OLD, "--for", "nginx", "--listen", "70000"], /--listen/],
  [
    "a certificate resolver for a program that has none",
    ["maintenance", ...OLD, "--for", "nginx", "--cert-resolver", "le"],
    /--cert-resolver: only Traefik/,
  ],
  [
    "a certificate resolver that would be a second line of the file",
    ["maintenance", ...OLD, "--for", "traefik", "--cert-resolver", "le\nevil: yes"],
    /--cert-resolver: is not a name/,
  ],
  [
    "a certificate for an address without encryption",
    ["maintenance", "--old", "http://old.example.org", "--for", "nginx", "--certificate", "full.pem"],
    /--old: http:\/\/old\.example\.org is without encryption/,
  ],
  ["a snippet for Traefik", ["maintenance", ...OLD, "--for", "traefik", "--snippet"], /--snippet/],
  [
    "a date that is past",
    ["maintenance", "serve", "--until", "2020-01-01"],
    /--until: 2020-01-01 is in the past/,
  ],
  ["a date that is none", ["maintenance", "serve", "--until", "soon"], /--until: soon is not a date/],
  ["a folder with a space", ["maintenance", ...OLD, "--for", "nginx", "--web-root", "/srv/my www"], /my www/],
];

for (const [what, args, words] of WRONG)
  test(`${what} is refused with a way on`, async () => {
    await assert.rejects(run(args), isUsage(words));
  });

test("nobody is signed out without a question, where there is nobody to answer it", async () => {
  const out = join(folder, "sign-out.conf");
  const args = ["sign-out", "config", ...OLD, ...SIGN_OUT, "--for", "nginx", "--out", out];
  await assert.rejects(run(args), isUsage(/was not counted/));
  assert.throws(() => statSync(out));
  await assert.rejects(
    run(["sign-out", "serve", ...SIGN_OUT, "--listen", "127.0.0.1:0"]),
    isUsage(/was not counted/),
  );
  await run([...args, "--yes"]);
  assert.match(readFileSync(out, "utf8"), /"soft_logout":true/);
});

/** Starts a server, calls `act` with its port when it listens, asks it to end, and returns how it ended. */
async function served(
  args: readonly string[],
  act: (port: number, end: () => void) => Promise<void>,
): Promise<Ran> {
  let child: { kill(signal: NodeJS.Signals): boolean } | undefined;
  let acted: Promise<void> | undefined;
  // A second signal would end it at once.
  let asked = false;
  const end = () => {
    if (!asked) child?.kill("SIGTERM");
    asked = true;
  };
  const ran = await synlift([...args, "--listen", "127.0.0.1:0", "--json"], {
    started: (process) => (child = process),
    killWhen(stderr) {
      const port = /listening on https?:\/\/127\.0\.0\.1:(\d+)/.exec(stderr)?.[1];
      if (port !== undefined) acted ??= act(Number(port), end).finally(end);
      return false;
    },
  });
  await acted;
  return ran;
}

test("a server of ours completes what is in flight when it is asked to end, and says what it answered", async () => {
  const waiting: (() => void)[] = [];
  const upstream = createServer((_request, response) => {
    waiting.push(() => response.end("late"));
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const to = `http://127.0.0.1:${(upstream.address() as { port: number }).port}`;
  try {
    const ran = await served(
      ["sign-out", "serve", "--hard", "--no-survey", "--yes", "--new", to],
      async (port, end) => {
        const url = `http://127.0.0.1:${port}`;
        const headers = { Authorization: "Bearer syt_secret", "User-Agent": "Element/1.0" };
        const answer = await fetch(`${url}/_matrix/client/v3/sync`, { headers });
        assert.deepEqual(
          [answer.status, ((await answer.json()) as { soft_logout: boolean }).soft_logout],
          [401, false],
        );
        const late = fetch(`${url}/_matrix/key/v2/server`).then((response) => response.text());
        while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        end();
        await refusesConnections(port);
        waiting[0]!();
        assert.equal(await late, "late");
      },
    );
    assert.equal(ran.code, 0, ran.stderr);
    const { details } = resultOf(ran);
    assert.deepEqual(
      [details["ended"], details["requests"], details["sessions"], details["byPath"], details["byClient"]],
      ["signal", 1, 1, { sync: 1 }, { Element: 1 }],
    );
    assert.doesNotMatch(ran.stdout + ran.stderr, /syt_secret/);
  } finally {
    upstream.close();
    upstream.closeAllConnections();
  }
});

test("where nobody can be counted, the refusal says where to count, and how to go on without", async () => {
  const missing = join(folder, "homeserver.yaml");
  const args = ["sign-out", "config", ...OLD, "--soft", ...NEW, "--for", "nginx", "--config", missing];
  await assert.rejects(run(args), (error) => {
    assert.ok(error instanceof MigrationError && error.code === "config-unreadable", String(error));
    assert.match(error.hint!, /synlift users.*--no-survey/);
    return true;
  });
});

test("it ends by itself at the date that it was given", async () => {
  const until = new Date(Date.now() + 3_000).toISOString().replace(/\.\d+/, "");
  const { details } = await run(["maintenance", "serve", "--listen", "127.0.0.1:0", "--until", until]);
  assert.equal(details["ended"], "until");
});

test("a port that is taken is named", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  await assert.rejects(run(["maintenance", "serve", "--listen", `127.0.0.1:${port}`]), (error) => {
    assert.ok(error instanceof MigrationError && error.code === "target-unsuitable");
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}: another program listens there`));
    return true;
  });
  taken.close();
});

/** Until the port takes no more connections. */
async function refusesConnections(port: number): Promise<void> {
  for (;;) {
    const refused = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("connect", () => {
        socket.destroy();
        resolve(false);
      });
      socket.on("error", () => {
        resolve(true);
      });
    });
    if (refused) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("hostile requests are refused or answered, and the next one is answered as before", async () => {
  const raw = (port: number, text: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(text));
      let got = "";
      socket.setEncoding("latin1").on("data", (piece: string) => {
        got += piece;
        if (got.includes("\r\n\r\n")) socket.destroy();
      });
      socket.on("error", () => {
        resolve(got);
      });
      socket.on("close", () => {
        resolve(got);
      });
    });
  const status = (answer: string) => answer.split("\r\n")[0];
  const end = "Host: x\r\nConnection: close\r\n\r\n";
  const ran = await served(["maintenance", "serve"], async (port) => {
    const many = Array.from({ length: 10_000 }, (_, index) => `X-${index}: a\r\n`).join("");
    assert.match(
      await raw(port, `GET /_matrix/client/versions HTTP/1.1\r\n${many}${end}`),
      /^HTTP\/1\.1 431 /,
    );
    const smuggled =
      "POST /_matrix/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert.match(
      await raw(port, `${smuggled}0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n`),
      /^HTTP\/1\.1 400 /,
    );
    const twoLengths =
      "POST /_matrix/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n";
    assert.match(await raw(port, twoLengths), /^HTTP\/1\.1 400 /);
    assert.match(await raw(port, "GET / HTTP/1.1\r\nHost : x\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await raw(port, "GET /_matrix/x HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await raw(port, `GET //_matrix//x HTTP/1.1\r\n${end}`), /^HTTP\/1\.1 503 /);
    assert.match(await raw(port, `GET /_matrix/../../etc/passwd HTTP/1.1\r\n${end}`), /^HTTP\/1\.1 400 /);
    assert.match(await raw(port, `GET http://other/_matrix/x HTTP/1.1\r\n${end}`), /^HTTP\/1\.1 503 /);
    assert.match(await raw(port, `OPTIONS * HTTP/1.1\r\n${end}`), /^HTTP\/1\.1 404 /);
    assert.equal(await raw(port, `CONNECT evil:443 HTTP/1.1\r\n${end}`), "");
    assert.match(
      (await raw(port, `BREW /_matrix/x HTTP/1.1\r\n${end}`)) || "HTTP/1.1 400 ",
      /^HTTP\/1\.1 400 /,
    );
    assert.match(
      await raw(
        port,
        `GET /_matrix/x HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\nHost: x\r\n\r\n`,
      ),
      /^HTTP\/1\.1 503 /,
    );
    const expecting = `POST /_matrix/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n${end}`;
    assert.match(await raw(port, expecting), /^HTTP\/1\.1 503 /);
    assert.match(await huge(port), /^HTTP\/1\.1 503 /);
    // A body that never comes does not keep anybody else from an answer.
    const slow = connect(port, "127.0.0.1", () =>
      slow.write("POST /_matrix/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"),
    );
    slow.on("error", () => undefined);
    const after = await raw(port, `GET /_matrix/x HTTP/1.1\r\n${end}`);
    assert.equal(status(after), "HTTP/1.1 503 Service Unavailable");
    assert.match(after, /\r\nRetry-After: 60\r\n/);
    slow.destroy();
  });
  assert.equal(ran.code, 0, ran.stderr);
});

/** More than is read of a body that nobody wants; the answer comes before. */
function huge(port: number): Promise<string> {
  return new Promise((resolve) => {
    let first = "";
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        method: "POST",
        path: "/_matrix/x",
        headers: { "Transfer-Encoding": "chunked" },
      },
      (response) => {
        first = `HTTP/1.1 ${response.statusCode ?? 0} `;
        response.resume();
      },
    );
    const piece = Buffer.alloc(1024 * 1024);
    const more = () => {
      while (sent.writable && sent.write(piece));
    };
    sent.on("drain", more);
    sent.on("error", () => undefined);
    sent.on("close", () => {
      resolve(first);
    });
    more();
  });
}
