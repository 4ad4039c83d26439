import assert from "node:assert/strict";
import { test } from "node:test";
import { isolatedSettings } from "../../../src/move/open/trial.ts";

const at = { port: 18008, pidFile: "/config/isolated.pid" };

test("in a trial, what would speak to anybody is off, and what workers did is the main process's", () => {
  const settings = isolatedSettings(
    {
      email: { smtp_host: "mail" },
      stream_writers: { events: "worker1" },
      instance_map: { worker1: { host: "127.0.0.1", port: 9094 } },
      password_config: { pepper: "x" },
    },
    at,
  );
  for (const name of ["email", "stream_writers"]) assert.equal(settings[name], null, name);
  assert.deepEqual(settings["instance_map"], {}, "Synapse does not start with null");
  assert.deepEqual(settings["federation_domain_whitelist"], []);
  assert.deepEqual(settings["app_service_config_files"], []);
  assert.deepEqual(settings["ip_range_blacklist"], ["0.0.0.0/0", "::/0"]);
  assert.equal("password_config" in settings, false, "what nobody else sees stays as it is");
  assert.equal(
    "saml2_config" in settings,
    false,
    "what was not set is not there either: some settings count by being there",
  );
});

test("it listens on loopback alone, and not for other servers", () => {
  const [listener, ...others] = isolatedSettings({ listeners: [{ port: 8448, tls: true }] }, at)[
    "listeners"
  ] as {
    bind_addresses: string[];
    resources: { names: string[] }[];
  }[];
  assert.deepEqual(others, []);
  assert.deepEqual(listener!.bind_addresses, ["127.0.0.1"]);
  assert.ok(!listener!.resources[0]!.names.includes("federation"));
});
