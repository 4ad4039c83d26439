import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Inventory } from "../../../src/bundle/inventory.ts";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import { liftFenceAndStart, verifyRunning } from "../../../src/move/open/start.ts";
import type { RestoreRecord } from "../../../src/move/restore/record.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { realHttp } from "../../../src/system/http/http.ts";
import { realPrograms } from "../../../src/system/programs/programs.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { freePort } from "../../support/lab/server-process.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { StandInSystemctl } from "../../support/stand-in-systemctl.ts";

test("a start for which systemd starts nothing fails at once, with the journal shown and the fence set again", async () => {
  const folder = temporaryFolder("open-start");
  writeFileSync(join(folder, "homeserver.yaml.fenced"), "");
  const systemd = new StandInSystemctl([
    {
      name: "matrix-synapse.service",
      start: "exit 1",
      pidFile: join(folder, "pid"),
      condition: join(folder, "conf.d/server_name.yaml"),
    },
  ]);
  const said: string[] = [];
  const signal = new AbortController().signal;
  const system = {
    files: realFiles,
    programs: realPrograms({ PATH: systemd.path }, signal),
    machine: machineWith(),
    http: realHttp,
    terminal: { err: (text: string) => said.push(text) },
    signal,
  } as unknown as System;
  const record = {
    serverName: "old.example",
    dropIns: [],
    fence: { folder, names: ["homeserver.yaml"], suffix: ".fenced" },
  } as unknown as RestoreRecord;

  const started = performance.now();
  await assert.rejects(
    liftFenceAndStart(
      {
        record,
        inventory: undefined as unknown as Inventory,
        homeserver: { settings: {}, secrets: [], listeners: [] } as unknown as Homeserver,
        startCommand: "systemctl start matrix-synapse",
        stopCommand: "systemctl stop matrix-synapse.service",
        url: `http://127.0.0.1:${await freePort()}`,
        token: undefined,
        accept: [],
        before: [],
      },
      system,
    ),
    { code: "start-failed", message: /a condition of the unit is not met/ },
  );
  assert.ok(
    performance.now() - started < 60_000,
    "it does not wait for the answer of a server that is not started",
  );
  assert.match(said.join(""), /ConditionPathExists=.*conf\.d\/server_name\.yaml/);
  assert.ok(existsSync(join(folder, "homeserver.yaml.fenced")));
});

test("a server that an interrupted run started and that never answers is stopped and fenced again, not called open", async () => {
  const folder = temporaryFolder("open-again");
  writeFileSync(join(folder, "homeserver.yaml"), "");
  const signal = new AbortController().signal;
  let elapsed = 0;
  const system = {
    files: realFiles,
    programs: realPrograms({ PATH: process.env["PATH"] }, signal),
    machine: machineWith({ elapsed: () => (elapsed += 50_000), wait: () => Promise.resolve() }),
    http: realHttp,
    terminal: { err: () => undefined },
    signal,
  } as unknown as System;
  const stopped = join(folder, "stopped");
  await assert.rejects(
    verifyRunning(
      {
        record: {
          serverName: "old.example",
          dropIns: [],
          fence: { folder, names: ["homeserver.yaml"], suffix: ".fenced" },
        } as unknown as RestoreRecord,
        inventory: undefined as unknown as Inventory,
        homeserver: { settings: {}, secrets: [], listeners: [] } as unknown as Homeserver,
        stopCommand: `touch ${stopped}`,
        url: `http://127.0.0.1:${await freePort()}`,
        token: undefined,
        accept: [],
        before: [],
      },
      system,
    ),
    { code: "start-failed", message: /does not answer at/ },
  );
  assert.ok(existsSync(stopped), "it is stopped");
  assert.ok(existsSync(join(folder, "homeserver.yaml.fenced")), "and fenced");
});
