import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { COMMANDS } from "../../../src/commands/index.ts";
import { commandLine } from "../../../src/commands/menu.ts";
import type { Homeserver } from "../../../src/homeserver/homeserver.ts";
import type { Launch } from "../../../src/homeserver/service/find/launch.ts";
import { agendaOf, type MoveFacts } from "../../../src/move/plan/agenda.ts";
import { runbookText } from "../../../src/report/runbook-text.ts";
import { matchesGolden } from "../../report/golden.ts";

const NOW = Date.UTC(2026, 10, 20, 9);

const homeserver = {
  serverName: "example.org",
  configPaths: ["/etc/matrix-synapse/homeserver.yaml", "/etc/matrix-synapse/conf.d"],
  workingFolder: "/var/lib/matrix-synapse",
  map: [],
} as unknown as Homeserver;

const unit: Launch = {
  kind: "unit",
  from: "the unit matrix-synapse.service",
  name: "matrix-synapse.service",
  isRunning: true,
  startsAutomatically: true,
  app: "synapse.app.homeserver",
  configPaths: homeserver.configPaths,
  workingFolder: homeserver.workingFolder,
  map: [],
  account: "matrix-synapse",
  program: "/opt/venvs/matrix-synapse/bin/python",
  overrides: [],
};

const DEBIAN: MoveFacts = {
  now: NOW,
  when: Date.UTC(2026, 11, 1, 2),
  named: true,
  homeserver,
  launch: unit,
  workers: [{ ...unit, name: "matrix-synapse-worker@media.service", app: "synapse.app.generic_worker" }],
  out: "/srv/move",
  newHost: "root@new.example.org",
  split: undefined,
  accepted: ["media-missing"],
  address: {
    toChange: ["A matrix.example.org, now 192.0.2.1"],
    safeFrom: NOW + 48 * 3600_000,
    calendar: {
      toLower: ["A matrix.example.org from 86400 to 300 seconds"],
      lowerBy: Date.UTC(2026, 10, 29, 2),
      changeAt: Date.UTC(2026, 11, 1, 2),
      keepUntil: Date.UTC(2026, 11, 3, 2),
    },
    clientUrl: "https://matrix.example.org",
    federation: "matrix.example.org:443",
  },
  estimate: { outage: [], outageSeconds: 2500, preparationSeconds: 2400, bundleBytes: 1e9 },
  blockers: [],
  sqlite: false,
  version: "1.163.2",
  atRisk: 3,
  stoppedByHand: false,
};

const CONTAINER: MoveFacts = {
  ...DEBIAN,
  named: false,
  homeserver: {
    ...homeserver,
    configPaths: ["/srv/my synapse/homeserver.yaml"],
    workingFolder: "/",
    map: [{ inside: "/data", outside: "/srv/my synapse" }],
  },
  launch: {
    ...unit,
    kind: "container",
    name: "synapse",
    from: "the container synapse",
    workingFolder: undefined,
  },
  workers: [],
  out: "/mnt/it's here/",
  split: "100m",
  accepted: [],
  address: undefined,
  estimate: undefined,
  blockers: ["signing-key", "disk-space"],
  sqlite: true,
  version: undefined,
  atRisk: 0,
};

const look = { columns: 80, colour: false };

test("the steps of a server from Debian's package, to the letter", () => {
  matchesGolden("agenda-debian.txt", runbookText(agendaOf(DEBIAN), look));
});

test("the steps of a container on SQLite that something blocks, with names that need quotes, to the letter", () => {
  matchesGolden("agenda-container.txt", runbookText(agendaOf(CONTAINER), look));
});

test("who is to stop a server is said where nothing on the host can", () => {
  const told = (move: MoveFacts) => runbookText(agendaOf(move), look).replace(/\s+/g, " ");
  assert.match(
    told({ ...DEBIAN, stoppedByHand: true }),
    /No way to stop it was found on this host: add --stop-command/,
  );
  assert.doesNotMatch(told(DEBIAN), /--stop-command, or/);
});

test("every synlift command of the steps is one that the program takes", () => {
  const chosen: string[] = [];
  for (const move of [DEBIAN, CONTAINER]) {
    const commands = agendaOf(move).steps.flatMap((moment) => moment.commands ?? []);
    for (const command of commands.filter((one) => one.startsWith("synlift "))) {
      const words = execFileSync("sh", ["-c", `for word in ${command}; do printf '%s\\0' "$word"; done`], {
        encoding: "utf8",
      });
      const line = commandLine(COMMANDS, ({ entry }) => chosen.push(entry.name), {
        out: () => undefined,
        err: () => undefined,
      });
      line.parse(words.split("\0").slice(1, -1), { from: "user" });
    }
  }
  assert.deepEqual([...new Set(chosen)].toSorted(), [
    "delegation check",
    "delegation files",
    "export",
    "open",
    "restore",
    "send",
    "users",
  ]);
});

test("every command is one that a shell can read", () => {
  for (const move of [DEBIAN, CONTAINER])
    for (const command of agendaOf(move).steps.flatMap((moment) => moment.commands ?? []))
      execFileSync("bash", ["-n", "-c", command]);
});

test("the point of no return is told once, and comes before the address is moved", () => {
  const { steps } = agendaOf(DEBIAN);
  const at = steps.findIndex(({ tone }) => tone === "no-return");
  assert.equal(steps.filter(({ tone }) => tone === "no-return").length, 1);
  assert.ok(at < steps.findIndex(({ title }) => title === "Move the address"));
});
