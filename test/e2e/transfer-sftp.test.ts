import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { sshCall } from "../../src/system/programs/ssh.ts";
import { SftpSession } from "../../src/system/sftp/session.ts";
import { unlimited } from "../../src/transfer/pace.ts";
import { sftpDestination } from "../../src/transfer/sftp-store.ts";
import { partialName } from "../../src/transfer/store-remote.ts";
import { noise } from "../support/bytes.ts";
import { startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { localFile } from "../transfer/contract.ts";
import { host, server, sftpContract, to } from "../transfer/sftp-contract.ts";

const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

// Every tenth: test/long/transfer-sftp.test.ts.
sftpContract([1, 5, 9]);

test("a host with a shell hashes there, one without is read back, and both find a flipped byte", async () => {
  const bytes = noise(300_000);
  const file = localFile("x", bytes);
  for (const [commands, proof] of [
    [true, "hashed-there"],
    [false, "read-back"],
  ] as const) {
    const other = await startSshServer(commands ? {} : { forceCommand: "internal-sftp" });
    try {
      const folder = temporaryFolder("place");
      const address = { host: "127.0.0.1", port: other.port, path: folder };
      const remote = await sftpDestination(address, { configFile: other.configFile }, host, unlimited).open(
        NEVER,
        { create: false },
      );
      assert.equal(await remote.put(file, ignored), proof);
      const path = join(folder, "x");
      writeFileSync(path, readFileSync(path).fill(0, 7, 8));
      assert.equal(await remote.prove(file, ignored), undefined);
      await remote.close();
    } finally {
      await other.stop();
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
  const nobody = { host: "127.0.0.1", port: server().port, user: "nobody-of-this-name", path: "/" };
  const settings = { configFile: server().configFile };
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

test("what is sent from an offset cuts nothing off: a connection that broke may still be served when the file is complete", async () => {
  const path = join(temporaryFolder("place"), "x");
  const bytes = noise(300_000);
  writeFileSync(path, bytes);
  const call = sshCall({ host: "far" }, "sftp", { configFile: server().configFile, subsystem: true });
  const late = await SftpSession.open(call, "far", host.programs, NEVER);
  const again = async function* () {
    yield await Promise.resolve(bytes.subarray(100_000, 150_000));
  };
  await late.write(path, 100_000, again(), () => undefined);
  await late.close();
  assert.ok(readFileSync(path).equals(bytes));
});

test("a host with another key than the known one is final, and so is one that wants a password", async () => {
  const other = await startSshServer();
  try {
    const [known] = readFileSync(join(other.folder, "known_hosts"), "utf8").split(" ");
    const [, type, key] = readFileSync(join(server().folder, "known_hosts"), "utf8").trim().split(" ");
    const address = { host: "127.0.0.1", port: other.port, path: temporaryFolder("place") };
    const settings = { configFile: other.configFile };
    const open = () => sftpDestination(address, settings, host, unlimited).open(NEVER, { create: true });
    writeFileSync(join(other.folder, "authorized_keys"), "");
    await assert.rejects(open(), { code: "connection-failed", message: /Permission denied/ });
    writeFileSync(join(other.folder, "known_hosts"), `${known!} ${type!} ${key!}\n`);
    await assert.rejects(open(), { code: "connection-failed", message: /Host key verification failed/ });
  } finally {
    await other.stop();
  }
});

test("a symbolic link over there is no file of the bundle, and is replaced instead of followed", async () => {
  const folder = temporaryFolder("place");
  const precious = join(temporaryFolder("elsewhere"), "precious");
  writeFileSync(precious, "of somebody else");
  const file = localFile("x", noise(50_000));
  for (const name of ["x", partialName(file)]) symlinkSync(precious, join(folder, name));
  const remote = await to(folder).open(NEVER, { create: false });
  assert.deepEqual([...(await remote.have(NEVER))], []);
  await remote.put(file, ignored);
  await remote.close();
  assert.equal(lstatSync(join(folder, "x")).isFile(), true);
  assert.equal(readFileSync(precious, "utf8"), "of somebody else");
});
