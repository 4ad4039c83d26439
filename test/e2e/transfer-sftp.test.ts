import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { unlimited } from "../../src/transfer/pace.ts";
import { sftpDestination } from "../../src/transfer/sftp-store.ts";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { noise } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { localFile, remoteContract } from "../transfer/contract.ts";

const host = { files: realFiles, programs: programsWith(), machine: machineWith() };
const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

let shell: SshServer;
let proxy: BreakingProxy;

before(async () => {
  shell = await startSshServer();
  proxy = await BreakingProxy.to(shell.port);
  writeFileSync(
    shell.configFile,
    [
      ...[
        "Host far",
        "  HostName 127.0.0.1",
        `  Port ${proxy.port}`,
        `  HostKeyAlias [127.0.0.1]:${shell.port}`,
      ],
      ...["Host jumped", "  HostName 127.0.0.1", `  Port ${shell.port}`, "  ProxyJump far"],
      readFileSync(shell.configFile, "utf8"),
    ].join("\n"),
  );
});

after(async () => {
  await proxy.stop();
  await shell.stop();
});

const to = (path: string, name = "far") =>
  sftpDestination({ host: name, path }, { configFile: shell.configFile }, host, unlimited);

remoteContract("OpenSSH", () => {
  const folder = join(temporaryFolder("place"), "new", "bundle");
  proxy.mend();
  return Promise.resolve({
    destination: to(folder),
    appends: true,
    names: () => readdirSync(folder),
    read: (name) => readFileSync(join(folder, name)),
    write: (name, bytes) => {
      writeFileSync(join(folder, name), bytes);
    },
    connection: proxy,
    small: async (t) => to(await smallDisk(t)),
  });
});

test("a host with a shell hashes there, one without is read back, and both find a flipped byte", async () => {
  const bytes = noise(300_000);
  const file = localFile("x", bytes);
  for (const [commands, proof] of [
    [true, "hashed-there"],
    [false, "read-back"],
  ] as const) {
    const server = await startSshServer(commands ? {} : { forceCommand: "internal-sftp" });
    try {
      const folder = temporaryFolder("place");
      const address = { host: "127.0.0.1", port: server.port, path: folder };
      const remote = await sftpDestination(address, { configFile: server.configFile }, host, unlimited).open(
        NEVER,
        { create: false },
      );
      assert.equal(await remote.put(file, ignored), proof);
      const path = join(folder, "x");
      writeFileSync(path, readFileSync(path).fill(0, 7, 8));
      assert.equal(await remote.prove(file, ignored), undefined);
      await remote.close();
    } finally {
      await server.stop();
    }
  }
});

test("a folder in the account's home, quotes and blanks in a path, and a jump host work as ssh has them", async () => {
  const folder = join(temporaryFolder("place"), 'it\'s a $(place) \\ "x"');
  const remote = await to(folder, "jumped").open(NEVER, { create: true });
  assert.equal(await remote.put(localFile("x", noise(9)), ignored), "hashed-there");
  await remote.close();
  assert.deepEqual(readdirSync(folder), ["x"]);
});

test("a key that the host does not take, a host that is not there and a folder that is missing are final, with what to do", async () => {
  const nobody = { host: "127.0.0.1", port: shell.port, user: "nobody-of-this-name", path: "/" };
  const settings = { configFile: shell.configFile };
  await assert.rejects(sftpDestination(nobody, settings, host, unlimited).open(NEVER, { create: true }), {
    code: "connection-failed",
  });
  await assert.rejects(to("/nonexistent/folder").open(NEVER, { create: false }), {
    code: "file-missing",
    message: "there is no folder sftp://far/nonexistent/folder",
  });
  await assert.rejects(to("/proc/new").open(NEVER, { create: true }), /sftp:\/\/far\/proc\/new/);
  await assert.rejects(to("/etc/passwd").open(NEVER, { create: true }), { code: "bad-usage" });
});

test("a server that falls silent in the middle is left as soon as the attempt is ended", async () => {
  const folder = temporaryFolder("place");
  const remote = await to(folder).open(NEVER, { create: false });
  const stop = new AbortController();
  const reason = new Error("silent for too long");
  await assert.rejects(
    remote.put(localFile("x", noise(20_000_000)), {
      ...ignored,
      signal: stop.signal,
      moved: () => {
        stop.abort(reason);
      },
    }),
    reason,
  );
  await remote.close();
});
