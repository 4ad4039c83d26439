import assert from "node:assert/strict";
import { test } from "node:test";
import { MigrationError } from "../../../src/errors.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { checkAccounts } from "../../../src/move/export/accounts.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../support/folder-with.ts";

const PEPPER = "password_config:\n  pepper: salty\n";

test("a pepper that a later file wiped stops an export, unless that is accepted", async (t) => {
  const folder = folderWith(t, {
    "homeserver.yaml": `${MINIMUM}${PEPPER}`,
    "later.yaml": "password_config:\n  enabled: true\n",
  });
  const homeserver = await readHomeserver(
    { configPaths: ["homeserver.yaml", "later.yaml"], workingFolder: folder },
    realFiles,
  );
  assert.throws(
    () => checkAccounts(homeserver, ["something-else"]),
    (error) =>
      error instanceof MigrationError &&
      error.code === "found-blockers" &&
      error.message.includes("no pepper is in effect") &&
      error.hint!.includes("--accept pepper-overridden") &&
      !`${error.message}${error.hint ?? ""}`.includes("salty"),
  );
  const accepted = checkAccounts(homeserver, ["pepper-overridden"]);
  const { level, sentence } = accepted.find(({ id }) => id === "pepper-overridden")!;
  assert.equal(level, "note");
  assert.match(sentence, /\(accepted\)$/);
});

test("a pepper that is in effect does not", async (t) => {
  const folder = folderWith(t, {
    "homeserver.yaml": `${MINIMUM}password_config:\n  enabled: true\n`,
    "later.yaml": PEPPER,
  });
  const homeserver = await readHomeserver(
    { configPaths: ["homeserver.yaml", "later.yaml"], workingFolder: folder },
    realFiles,
  );
  assert.ok(checkAccounts(homeserver, []).every(({ level }) => level !== "blocker"));
});
