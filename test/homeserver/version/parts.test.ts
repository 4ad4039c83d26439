import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  assumeParts,
  findMissingParts,
  inspectParts,
  verifyParts,
} from "../../../src/homeserver/version/parts.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { synapsePython } from "../../support/lab/synapse-server.ts";
import { programsWith } from "../../support/real-world.ts";

const programs = programsWith();
const query = { python: synapsePython(), account: undefined, folder: temporaryFolder("parts") };

test("what Synapse cannot import for its configuration is named by what needs it, and nothing is started", async () => {
  writeFileSync(
    join(query.folder, "own_module.py"),
    "print('loud while it is imported')\nclass Module: pass\n",
  );
  const missing = await findMissingParts(
    {
      ...query,
      parts: [
        { kind: "extra", name: "postgres", neededFor: "PostgreSQL" },
        { kind: "class", name: "own_module.Module", neededFor: "modules[0].module" },
        { kind: "class", name: "own_module.Other", neededFor: "modules[1].module" },
        { kind: "class", name: "nobody.has.This", neededFor: "password_providers[0].module" },
        { kind: "extra", name: "no-such-extra", neededFor: "the future" },
      ],
    },
    programs,
  );
  assert.deepEqual(
    missing.map(({ neededFor }) => neededFor),
    ["modules[1].module", "password_providers[0].module"],
  );
  assert.match(missing[1]!.why, /ModuleNotFoundError: No module named 'nobody'/);
});

test("a Python without Synapse, or that is none, is no reason to fail", async () => {
  const parts = [{ kind: "extra" as const, name: "redis", neededFor: "redis" }];
  const plain = await verifyParts({ ...query, python: "/usr/bin/python3", parts }, programs);
  assert.equal(plain.level, "blocker");
  assert.match(plain.sentence, /lacks what Synapse needs to start: Synapse itself/);
  const broken = await verifyParts({ ...query, python: "/bin/true", parts }, programs);
  assert.equal(broken.level, "warning");
});

test("what is in an image cannot be tried: a module that Synapse's image lacks is warned of", () => {
  const module = { kind: "class" as const, name: "own.Module", neededFor: "modules[0].module" };
  assert.equal(assumeParts([module], false).level, "note");
  assert.equal(assumeParts([], true).level, "ok");
  assert.equal(assumeParts([module], true).level, "warning");
});

test("what the source itself no longer has is a warning of plan, and a source that has all of it has none", async () => {
  const has = [{ kind: "extra" as const, name: "postgres", neededFor: "PostgreSQL" }];
  assert.deepEqual(await inspectParts({ ...query, parts: has }, programs), []);
  const lacks = { kind: "class" as const, name: "nobody.has.This", neededFor: "modules[0].module" };
  const [found, ...more] = await inspectParts({ ...query, parts: [...has, lacks] }, programs);
  assert.deepEqual(more, []);
  assert.deepEqual([found?.id, found?.level], ["source-parts", "warning"]);
  assert.match(found!.evidence!.join(), /^modules\[0\]\.module: ModuleNotFoundError/);
});
