import assert from "node:assert/strict";
import { test } from "node:test";
import { copyOf } from "../../../src/move/direct/followed/copy.ts";
import type { FollowState } from "../../../src/move/follow/state.ts";
import type { System } from "../../../src/system/system.ts";
import { machineWith } from "../../support/fake-machine.ts";

const STATE = {
  ...{
    id: "1",
    road: "standby",
    stage: "following",
    serverName: "example.org",
    tunnel: { folder: "/run/x" },
  },
  old: {
    ...{ address: "ssh://old", database: "synapse", synapseRole: "synapse", role: "synlift_follow" },
    ...{ stateDatabase: "state", stateRole: "state_role", slot: "s", systemIdentifier: "7" },
  },
  here: {
    ...{ kind: "standby", data: "/data", programs: "/bin", port: 5433, socketFolder: "/run" },
    ...{ account: "nobody", administrator: "postgres", cluster: null },
  },
} as unknown as FollowState;
const system = { machine: machineWith({ isRoot: false }) } as unknown as System;
const at = (dbname: string) => ({ engine: "postgres", address: { parameters: { dbname } } });
const target = (more: object) =>
  ({ database: at("synapse"), roles: [], layout: {}, ...more }) as unknown as Parameters<typeof copyOf>[1];

test("a state database that has come along is named, too, or the rehearsal would compare nothing of it", async () => {
  await assert.rejects(copyOf(STATE, target({}), system), {
    code: "bad-usage",
    message: /--state-database: must be given, too: .*, state, which has come along/,
    hint: /dbname=state, on port 5433/,
  });
});

test("each database belongs to the role as which Synapse uses it", async () => {
  const { databases } = await copyOf(STATE, target({ stateDatabase: at("state") }), system);
  assert.deepEqual(
    databases.map(({ store, owner }) => `${store} ${owner ?? ""}`),
    ["main synapse", "state state_role"],
  );
});
