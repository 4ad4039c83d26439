import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { baseSystem, copyOf, runInside } from "../support/hosts/base-system.ts";
import { getTheCommand } from "../support/hosts/readme.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";

// The README's "Get the command", with the Node and the npm that each Debian ships.

for (const suite of ["bookworm", "trixie", "sid"])
  test(`with what ${suite} ships, the README's commands install synlift, and it runs`, () => {
    const folder = join(temporaryFolder("command", undefined, "/var/tmp"), suite);
    copyOf(baseSystem({ suite, packages: ["nodejs", "npm"] }), folder);
    assert.match(getTheCommand(folder), /Usage: synlift|synlift \[/);
    assert.match(runInside(folder, "synlift export --help"), /--rehearse/);
    // A folder with no bundle is an answer of its own: the whole program was loaded.
    assert.match(runInside(folder, "synlift verify /nowhere; echo exit code $?"), /exit code 17/);
  });
