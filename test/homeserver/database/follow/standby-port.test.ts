import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { choosePort, portFault } from "../../../../src/homeserver/database/follow/standby-port.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { machineWith } from "../../../support/fake-machine.ts";
import { freePort } from "../../../support/lab/server-process.ts";
import { temporaryFolder } from "../../../support/lab/temporary-folder.ts";
import { programsBefore, programsWith } from "../../../support/real-world.ts";

// Where a copy's PostgreSQL is to listen: with servers that are none of PostgreSQL's, which answer nothing.

const machine = machineWith();
const system = { files: realFiles, machine, programs: programsBefore({ pg_lsclusters: "true" }) };
const socketFolder = temporaryFolder("sockets");

async function occupy(t: TestContext, where: { host: string; port: number } | { path: string }) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(where, resolve));
  t.after(() => server.close());
}

test("a port that anything listens on is in use, and it is said what that is", async (t) => {
  for (const host of ["127.0.0.1", "::1", "0.0.0.0", "::"]) {
    const port = await freePort();
    assert.equal(await portFault({ port, socketFolder }, system), undefined);
    await occupy(t, { host, port });
    assert.equal(
      await portFault({ port, socketFolder }, system),
      `port ${port} of this host is in use by node, process ${process.pid}`,
    );
  }
});

test("a port whose socket has a server, or whose lock file belongs to a process that runs, is in use", async (t) => {
  const port = await freePort();
  const path = join(socketFolder, `.s.PGSQL.${port}`);
  await occupy(t, { path });
  assert.equal(await portFault({ port, socketFolder }, system), `a server answers at ${path}`);

  const locked = await freePort();
  const lock = join(socketFolder, `.s.PGSQL.${locked}.lock`);
  writeFileSync(lock, `${process.pid}\n/var/lib/postgresql/15/main\n`);
  assert.equal(
    await portFault({ port: locked, socketFolder }, system),
    `${lock} belongs to process ${process.pid}, which runs`,
  );
  const ended = { ...system, machine: machineWith({ processStart: () => undefined }) };
  assert.equal(
    await portFault({ port: locked, socketFolder }, ended),
    undefined,
    "left by a server that has ended",
  );
});

test("a host without IPv6 has a free port nevertheless", async () => {
  const older = machineWith({
    tryToListen: (at) =>
      "address" in at && at.address === "::1" ? Promise.resolve("not-here") : machine.tryToListen(at),
  });
  assert.equal(
    await portFault({ port: await freePort(), socketFolder }, { ...system, machine: older }),
    undefined,
  );
});

test("a given port that is in use is refused, and a free one is taken", async (t) => {
  const port = await freePort();
  assert.equal(await choosePort(port, socketFolder, system), port);
  await occupy(t, { host: "127.0.0.1", port });
  await assert.rejects(choosePort(port, socketFolder, system), {
    code: "target-unsuitable",
    message: `--port ${port}: port ${port} of this host is in use by node, process ${process.pid}`,
  });
});

test("without a given one, the first port is chosen that nothing uses and no cluster has, running or not", async () => {
  const taken = new Set([5432, 5434]);
  const asked: number[] = [];
  const busy = machineWith({
    tryToListen: (at) => {
      if (!("port" in at)) return Promise.resolve(undefined);
      asked.push(at.port);
      return Promise.resolve(taken.has(at.port) ? "in-use" : undefined);
    },
  });
  const clusters = [
    "15  main    5433 down   postgres /var/lib/postgresql/15/main /var/log/postgresql/postgresql-15-main.log",
    "16  other   5435 online postgres /var/lib/postgresql/16/other /var/log/postgresql/postgresql-16-other.log",
  ].join("\\n");
  const programs = programsBefore({ pg_lsclusters: `[ "$*" = -h ] && printf '${clusters}\\n'` });
  assert.equal(await choosePort(undefined, socketFolder, { ...system, machine: busy, programs }), 5436);
  assert.ok(!asked.includes(5433));
  await assert.rejects(choosePort(5433, socketFolder, { ...system, machine: busy, programs }), {
    code: "target-unsuitable",
    message: "--port 5433: port 5433 is that of the PostgreSQL cluster 15/main",
    hint: /pg_dropcluster --stop 15 main$/,
  });
  const none = machineWith({ tryToListen: () => Promise.resolve("in-use") });
  await assert.rejects(choosePort(undefined, socketFolder, { ...system, machine: none }), {
    code: "target-unsuitable",
    hint: "give one with --port",
  });
});

test("where there are no programs of Debian's clusters, the ports alone are looked at", async () => {
  const programs = { ...programsWith(), find: () => Promise.resolve(undefined) };
  const port = await freePort();
  assert.equal(await choosePort(port, socketFolder, { ...system, programs }), port);
});
