import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertOutsideBundle,
  chooseLayout,
  type LayoutOptions,
} from "../../../../src/move/restore/layouts/choose.ts";

const wanted = (configDir: string, mediaDir: string): LayoutOptions => ({
  ...{ configDir, mediaDir, layout: undefined, folder: undefined, owner: undefined, listen: undefined },
  ...{ databasePort: 54_320, units: [], withoutWorkers: false, prepareOnly: false },
});
const chosen = (configDir: string, mediaDir: string) =>
  chooseLayout(wanted(configDir, mediaDir), { isRoot: true, user: "root", account: () => undefined });

test("configuration and media each have a folder of their own", () => {
  assert.throws(() => chosen("/srv/x", "/srv/x"), {
    code: "bad-usage",
    message: "--config-dir and --media-dir are both /srv/x",
    hint: /a folder of its own/,
  });
  assert.equal(chosen("/data", "/data/media_store").mediaDir, "/data/media_store");
});

test("nothing is restored into the bundle itself", () => {
  for (const [config, media, option] of [
    ["/srv/move", "/srv/media", "--config-dir"],
    ["/srv/move/config", "/srv/media", "--config-dir"],
    ["/srv/config", "/srv/move/media", "--media-dir"],
  ] as const)
    assert.throws(
      () => {
        assertOutsideBundle(chosen(config, media), "/srv/move");
      },
      { code: "bad-usage", message: new RegExp(`^${option} .* is inside the bundle's folder /srv/move$`) },
    );
  assertOutsideBundle(chosen("/srv/move.config", "/srv/moved"), "/srv/move");
  assertOutsideBundle(chosen("/srv/config", "/srv/media"), "/srv/config/bundle");
});

test("where Debian's package has its files, logs and pid file go to its places, and elsewhere beside the configuration", () => {
  const account = { name: "matrix-synapse", uid: 105, gid: 65_534, home: "/var/lib/matrix-synapse" };
  const debian = (configDir: string | undefined) =>
    chooseLayout(
      { ...wanted("/", "/var/lib/matrix-synapse/media"), layout: "debian", configDir },
      { isRoot: true, user: "root", account: () => account },
    );
  for (const given of [undefined, "/etc/matrix-synapse"]) {
    const { logFolder, pidFile } = debian(given);
    assert.deepEqual([logFolder, pidFile], ["/var/log/matrix-synapse", "/run/matrix-synapse.pid"]);
  }
  const other = debian("/srv/trial");
  assert.deepEqual([other.logFolder, other.pidFile], [undefined, undefined]);
});
