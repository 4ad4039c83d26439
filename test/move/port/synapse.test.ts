import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { MigrationError } from "../../../src/errors.ts";
import { findPortingSynapse, type SynapseQuery } from "../../../src/move/port/synapse.ts";
import { realFiles } from "../../../src/system/files/files.ts";
import type { System } from "../../../src/system/system.ts";
import { noProgress } from "../../../src/system/progress.ts";
import { machineWith } from "../../support/fake-machine.ts";
import { temporaryFolder } from "../../support/lab/temporary-folder.ts";
import { programsWith, scriptsIn } from "../../support/real-world.ts";

// A host without a Synapse is Debian's Python. That one is really installed is in test/long/port-install.test.ts.

const VERSION = "1.163.2";

interface World {
  /** What a person answers; undefined without a terminal. */
  readonly answer?: boolean | undefined;
  readonly asked?: string[];
  readonly path?: string;
}

function hostWith({ answer, asked = [], path = "/usr/bin:/bin" }: World): System {
  return {
    files: realFiles,
    machine: machineWith({ folder: "/" }),
    programs: programsWith({ PATH: path }),
    terminal: {
      interactive: answer !== undefined,
      confirm: (question: string) => {
        asked.push(question);
        return Promise.resolve(answer);
      },
    },
    signal: new AbortController().signal,
  } as unknown as System;
}

const query = (folder: string, more: Partial<SynapseQuery> = {}): SynapseQuery => ({
  folder,
  install: true,
  dryRun: false,
  configPaths: [],
  version: VERSION,
  ...more,
});

test("without consent, without a terminal, and in a dry run nothing is installed", async () => {
  const folder = temporaryFolder("install");
  const asked: string[] = [];
  for (const answer of [undefined, false])
    await assert.rejects(
      findPortingSynapse(query(folder, { install: false }), hostWith({ answer, asked }), noProgress),
      (error: MigrationError) => {
        assert.equal(error.code, "program-missing");
        assert.match(error.hint ?? "", /--install-synapse; or .*--synapse/);
        return true;
      },
    );
  assert.equal(asked.length, 1);
  assert.match(
    asked[0]!,
    new RegExp(`Install Synapse ${VERSION} with pip into ${folder}/synapse-${VERSION}\\?`),
  );
  const notes: string[] = [];
  const progress = { ...noProgress, note: (sentence: string) => void notes.push(sentence) };
  await findPortingSynapse(query(folder, { dryRun: true }), hostWith({}), progress);
  assert.match(notes.join(), /would be installed/);
  assert.deepEqual(readdirSync(folder), []);
});

test("where no version is known none is guessed", async () => {
  const folder = temporaryFolder("install");
  await assert.rejects(findPortingSynapse(query(folder, { version: undefined }), hostWith({}), noProgress), {
    code: "program-missing",
    hint: /--synapse FOLDER/,
  } as unknown as Error);
  assert.deepEqual(readdirSync(folder), []);
  // A host without any Python.
  const path = scriptsIn({});
  await assert.rejects(findPortingSynapse(query(folder), hostWith({ path }), noProgress), {
    code: "program-missing",
  });
});
