import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { editYaml } from "../../../../src/homeserver/config/yaml/edit.ts";
import { parseYaml } from "../../../../src/homeserver/config/yaml/yaml.ts";

test("only the lines that must change do, and comments stay", () => {
  const text = `# the server
server_name:   "example.org"   # odd spaces

listeners:
- port: 8008 # the port
  bind_addresses: ['::1']
  mode: 0640

# the database
database:
  name: psycopg2
  args:
    user: synapse
    # changed in spring
    password: "old"  # secret
    cp_min: 5

# the end
`;
  const edits = [
    { steps: ["database", "args", "password"], value: "new" },
    { steps: ["database", "args", "user"], value: undefined },
    { steps: ["listeners", 0, "port"], value: 8448 },
    { steps: ["pid_file"], value: "/run/pid" },
  ];
  assert.equal(
    editYaml(text, edits, "x"),
    `# the server
server_name:   "example.org"   # odd spaces

listeners:
- port: 8448 # the port
  bind_addresses: ['::1']
  mode: 0640

# the database
database:
  name: psycopg2
  args:
    # changed in spring
    password: new # secret
    cp_min: 5

# the end
pid_file: /run/pid
`,
  );
});

test("a value that PyYAML would take for something else is quoted", () => {
  for (const value of [
    "no",
    "0640",
    "1:30",
    "1e3",
    "2020-01-01",
    "",
    "null",
    "~",
    "a: b",
    "a #b",
    "=",
    " x ",
    "*a",
    "\u0085\u2028\u007f",
    "a\nb",
  ]) {
    const text = editYaml("a: 1\n", [{ steps: ["a"], value }], "x");
    assert.match(text, /^a: "/, value);
    assert.deepEqual(parseYaml(text), { a: value });
  }
});

test("a value that comes by a merge key or an alias is changed where it is meant, and nowhere else", () => {
  const text = `common: &common
  user: shared # by both
  cp_min: 5
store: &store /old
database:
  args:
    <<: *common
    password: old
media_store_path: *store
other: *store
`;
  const edits = [
    { steps: ["database", "args", "user"], value: undefined },
    { steps: ["database", "args", "password"], value: "new" },
    { steps: ["media_store_path"], value: "/new" },
  ];
  const edited = editYaml(text, edits, "x");
  assert.deepEqual(parseYaml(edited), {
    common: { user: "shared", cp_min: 5 },
    store: "/old",
    database: { args: { cp_min: 5, password: "new" } },
    media_store_path: "/new",
    other: "/old",
  });
  assert.match(edited, /shared # by both/);
});

test("a setting that others are an alias of can be changed alone", () => {
  const edited = editYaml("a: &a {b: 1}\nc: *a\n", [{ steps: ["a", "b"], value: 2 }], "x");
  assert.deepEqual(parseYaml(edited), { a: { b: 2 }, c: { b: 1 } });
});

test("of a setting that is given twice, one is left", () => {
  const edited = editYaml("a: 1\nb: 2\na: 3\n", [{ steps: ["a"], value: 4 }], "x");
  assert.equal(edited, "b: 2\na: 4\n");
});

test("a file of any shape means the same after an edit, but for what was edited", () => {
  const name = fc.stringMatching(/^[a-z]{1,4}$/);
  const scalar = fc.oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    // Whole numbers past 2^53 are read back as big ones.
    fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 3 },
      scalar,
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(name, tie("tree"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(
      fc.dictionary(name, tree, { maxKeys: 5, noNullPrototype: true }),
      name,
      tree,
      (settings, key, value) => {
        const text = editYaml(
          "{}",
          Object.entries(settings).map(([step, inner]) => ({ steps: [step], value: inner })),
          "x",
        );
        assert.deepEqual(parseYaml(text), settings);
        assert.deepEqual(parseYaml(editYaml(text, [{ steps: [key], value }], "x")), {
          ...settings,
          [key]: value,
        });
      },
    ),
    { numRuns: 300 },
  );
});

test("a file that does not end its last line keeps its last value as it was", () => {
  const edited = editYaml("a: 1\nsecret: |\n  hunter2", [{ steps: ["b"], value: 2 }], "x");
  assert.deepEqual(parseYaml(edited), { a: 1, secret: "hunter2", b: 2 });
});
