import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { inspectConfig } from "../../../src/homeserver/config/inspect.ts";
import { readHomeserver } from "../../../src/homeserver/read.ts";
import { realFiles } from "../../../src/system/files.ts";
import { folderWith, MINIMUM } from "../folder-with.ts";

async function inspected(t: TestContext, contents: Record<string, string>) {
  const folder = folderWith(t, contents);
  const configPaths = Object.keys(contents).filter((name) => name.endsWith(".yaml"));
  return inspectConfig(await readHomeserver({ configPaths, workingFolder: folder }, realFiles), realFiles);
}

const told = (findings: readonly { id: string; level: string }[]) =>
  findings.map(({ id, level }) => `${id} ${level}`);

test("a pepper that a later file throws away is found", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}password_config: {pepper: salty, enabled: true}\n`,
    "b.yaml": "password_config: {enabled: true}\n",
  });
  assert.deepEqual(told(findings), [
    "server-name ok",
    "pepper-lost blocker",
    "config-overridden:password_config warning",
    "database-sqlite note",
  ]);
  assert.doesNotMatch(JSON.stringify(findings), /salty/);
});

test("a setting given twice is a note, and one that loses parts of it a warning", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}public_baseurl: a\nemail: {smtp_host: a, smtp_user: b}\nenable_search: yes\n`,
    "b.yaml": "public_baseurl: b\nemail: {smtp_host: a}\nenable_search: true\n",
  });
  assert.deepEqual(told(findings), [
    "server-name ok",
    "config-overridden:public_baseurl note",
    "config-overridden:email warning",
    "database-sqlite note",
  ]);
  assert.ok(findings[2]!.evidence!.some((line) => line.startsWith("email.smtp_user is given")));
});

test("files that are named and missing are found, and how bad that is depends on the file", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `${MINIMUM}registration_shared_secret_path: gone
macaroon_secret_key_path: gone
app_service_config_files: [gone, a.yaml]
tls_certificate_path: gone
templates: {custom_template_directory: a.yaml}
`,
  });
  assert.deepEqual(told(findings).slice(2), [
    "file-missing:macaroon_secret_key_path blocker",
    "file-missing:registration_shared_secret_path note",
    "file-missing:app_service_config_files[0] blocker",
    "file-missing:tls_certificate_path warning",
    "file-missing:templates.custom_template_directory warning",
  ]);
});

test("what a move needs to know of is told: several databases, media elsewhere, a removed experiment, a bad name", async (t) => {
  const findings = await inspected(t, {
    "a.yaml": `server_name: "not a name"
report_stats: no
enable_media_repo: off
experimental_features: {msc3861: {enabled: true}}
databases:
  main: {name: psycopg2, args: {dbname: a}}
  state: {name: psycopg2, args: {dbname: b}}
`,
  });
  assert.deepEqual(told(findings), [
    "server-name blocker",
    "config-msc3861 warning",
    "database-several blocker",
    "media-elsewhere warning",
  ]);
});
