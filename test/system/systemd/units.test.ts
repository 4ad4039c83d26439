import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { realFiles } from "../../../src/system/files/files.ts";
import { findUnits } from "../../../src/system/systemd/units.ts";
import { folderWith } from "../../support/folder-with.ts";
import { DEBIAN_UNIT, MATRIX_ORG_UNIT, WORKER_UNIT } from "../../support/unit-files.ts";

const SYNAPSE = /synapse/i;
const ETC = "etc/systemd/system";
const LIB = "usr/lib/systemd/system";

const units = (root: string) => findUnits(SYNAPSE, realFiles, root);

function link(root: string, path: string, to: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(to, join(root, path));
}

async function commandOf(t: TestContext, service: string, more: Record<string, string> = {}) {
  const text = `[Service]\n# synapse\n${service}\n`;
  const [unit] = await units(folderWith(t, { [`${ETC}/hs@one-two.service`]: text, ...more }));
  return unit?.command;
}

test("the units of both packages are read, wherever their lines end", async (t) => {
  for (const [text, python] of [
    [MATRIX_ORG_UNIT, "/opt/venvs/matrix-synapse/bin/python"],
    [DEBIAN_UNIT, "/usr/bin/python3"],
  ] as const) {
    const root = folderWith(t, {
      [`${LIB}/matrix-synapse.service`]: text,
      [`${LIB}/cron.service`]: "[Service]\n",
    });
    link(
      root,
      `${ETC}/multi-user.target.wants/matrix-synapse.service`,
      "/usr/lib/systemd/system/matrix-synapse.service",
    );
    const [unit, ...others] = await units(root);
    assert.deepEqual(others, []);
    assert.deepEqual(unit, {
      name: "matrix-synapse.service",
      files: [join(root, LIB, "matrix-synapse.service")],
      isEnabled: true,
      command: [
        python,
        "-m",
        "synapse.app.homeserver",
        "--config-path=/etc/matrix-synapse/homeserver.yaml",
        "--config-path=/etc/matrix-synapse/conf.d/",
      ],
      account: "matrix-synapse",
      workingFolder: "/var/lib/matrix-synapse",
    });
  }
});

test("a drop-in takes the command back and gives another, and the strongest folder wins", async (t) => {
  const root = folderWith(t, {
    [`${LIB}/hs.service`]: "[Service]\nExecStart=/old synapse\nUser=old\nWorkingDirectory=/old\n",
    [`${LIB}/hs.service.d/10.conf`]: "[Service]\nExecStart=\nExecStart=/never synapse\n",
    [`${ETC}/hs.service.d/10.conf`]: "[Service]\nExecStart=\nExecStart=/ten synapse\nUser=ten\n",
    [`${ETC}/hs.service.d/20.conf`]: "[Unit]\nUser=nobody\n[Service]\nUser=twenty\n",
    [`${ETC}/hs.service.d/30.conf~`]: "[Service]\nUser=editor\n",
    [`${ETC}/shadow.service`]: "[Service]\nExecStart=/mine synapse\n",
    [`${LIB}/shadow.service`]: "[Service]\nExecStart=/theirs synapse\n",
  });
  const found = Object.fromEntries((await units(root)).map((unit) => [unit.name, unit]));
  assert.deepEqual(found["hs.service"]?.command, ["/ten", "synapse"]);
  assert.equal(found["hs.service"].account, "twenty");
  assert.equal(found["hs.service"].workingFolder, "/old");
  assert.deepEqual(
    found["hs.service"].files.map((path) => path.slice(root.length + 1)),
    [`${LIB}/hs.service`, `${ETC}/hs.service.d/10.conf`, `${ETC}/hs.service.d/20.conf`],
  );
  assert.deepEqual(found["shadow.service"]?.command, ["/mine", "synapse"]);
});

test("a template is a unit for each of its instances that is enabled", async (t) => {
  const root = folderWith(t, {
    [`${ETC}/matrix-synapse-worker@.service`]: WORKER_UNIT,
    [`${ETC}/matrix-synapse-worker@two.service.d/user.conf`]: "[Service]\nUser=other\n",
    [`${ETC}/matrix-synapse-worker@.service.d/folder.conf`]: "[Service]\nWorkingDirectory=/srv/%i\n",
  });
  const template = "/etc/systemd/system/matrix-synapse-worker@.service";
  for (const name of ["one", "two"])
    link(root, `${ETC}/matrix-synapse.target.wants/matrix-synapse-worker@${name}.service`, template);
  const found = await units(root);
  assert.deepEqual(
    found.map(({ name, account, workingFolder, command, isEnabled }) => [
      name,
      account,
      workingFolder,
      command.at(-1),
      isEnabled,
    ]),
    ["one", "two"].map((name) => [
      `matrix-synapse-worker@${name}.service`,
      name === "two" ? "other" : "matrix-synapse",
      `/srv/${name}`,
      `--config-path=/etc/matrix-synapse/workers/${name}.yaml`,
      true,
    ]),
  );
});

test("masked units and other names of a unit are not counted", async (t) => {
  const root = folderWith(t, {
    [`${LIB}/matrix-synapse.service`]: MATRIX_ORG_UNIT,
    [`${LIB}/other-synapse.service`]: MATRIX_ORG_UNIT,
  });
  link(root, `${ETC}/other-synapse.service`, "/dev/null");
  link(root, `${ETC}/synapse.service`, join(root, LIB, "matrix-synapse.service"));
  assert.deepEqual(
    (await units(root)).map(({ name }) => name),
    ["matrix-synapse.service"],
  );
});

test("words are held together and escaped as systemd does it", async (t) => {
  const cases: Record<string, string[]> = {
    'ExecStart=/a "b c" \'d "e\' f\\x20g \\s h\\\\': ["/a", "b c", 'd "e', "f g", " ", "h\\"],
    "ExecStart=-/a b": ["/a", "b"],
    "ExecStart=@/a called b": ["/a", "b"],
    "ExecStart=+!/a --x=%i --y=%I --z=%p %n 100%%": [
      ...["/a", "--x=one-two", "--y=one/two", "--z=hs", "hs@one-two.service", "100%"],
    ],
    "ExecStart=/a \\\n  b \\\n# not this\n  c": ["/a", "b", "c"],
    "ExecStart=/a\nExecStart=\nExecStart=/b": ["/b"],
  };
  for (const [text, command] of Object.entries(cases))
    assert.deepEqual(await commandOf(t, text), command, text);
});

test("variables come from the unit and from its files, and the files win", async (t) => {
  const service = `Environment="CONFIG=/one two.yaml" MORE=-n EMPTY=
Environment=PLAIN=p
EnvironmentFile=-/etc/default/gone
EnvironmentFile=/etc/default/hs
ExecStart=/a \${CONFIG} $MORE $EMPTY x\${PLAIN}y $$HOME \${NOWHERE}`;
  const file = "# a comment\nPLAIN='q'\nMORE=\"-c /b -c /c\"\n; another\nnot a line\n";
  assert.deepEqual(await commandOf(t, service, { "etc/default/hs": file }), [
    ...["/a", "/one two.yaml", "-c", "/b", "-c", "/c", "xqy", "$HOME", ""],
  ]);
});

test("files with variables can be taken back too", async (t) => {
  const service = "EnvironmentFile=/etc/default/hs\nEnvironmentFile=\nExecStart=/a ${PLAIN} $MORE";
  assert.deepEqual(await commandOf(t, service, { "etc/default/hs": "PLAIN=q\nMORE=r\n" }), ["/a", ""]);
});

test("a host without systemd has no units", async (t) => {
  assert.deepEqual(await units(folderWith(t, { x: "" })), []);
});
