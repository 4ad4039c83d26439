import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { moduleFindings } from "../../../../src/homeserver/config/checks/modules.ts";
import { readHomeserver } from "../../../../src/homeserver/read.ts";
import { realFiles } from "../../../../src/system/files/files.ts";
import { folderWith, MINIMUM } from "../../../support/folder-with.ts";

async function found(t: TestContext, more: string) {
  const folder = folderWith(t, { "a.yaml": MINIMUM + more });
  return moduleFindings(await readHomeserver({ configPaths: ["a.yaml"], workingFolder: folder }, realFiles));
}

test("Python packages that the new host must have are named, wherever a setting asks for them", async (t) => {
  const [finding, ...more] = await found(
    t,
    `modules: [{module: mjolnir.Module, config: {token: geheim}}, {module: mjolnir.Other}, {module: 7}]
password_providers: [{module: ldap_auth_provider.LdapAuthProvider, config: {bind_password: geheim}}]
spam_checker: {module: guard.Spam}
presence: {presence_router: {module: presence.Router}}
media_storage_providers:
  - {module: s3_storage_provider.S3StorageProviderBackend, config: {secret_access_key: geheim}}
  - {module: file_system, config: {directory: /mnt}}
  - {module: synapse.rest.media.v1.storage_provider, config: {directory: /mnt}}
saml2_config: {user_mapping_provider: {module: own.Mapping}}
`,
  );
  assert.deepEqual(more, []);
  assert.deepEqual([finding?.id, finding?.level], ["modules", "warning"]);
  assert.match(
    finding!.sentence,
    /packages mjolnir, ldap_auth_provider, guard, presence, s3_storage_provider, own:/,
  );
  assert.match(finding!.hint!, /matrix-synapse-ldap3.*synapse-s3-storage-provider/);
  assert.equal(finding!.evidence!.length, 7);
  assert.doesNotMatch(JSON.stringify(finding), /geheim/);
});

test("a list of spam checkers is read as one, and classes of Synapse's own are not asked for", async (t) => {
  const more = `spam_checker: [{module: a.A}, {module: a.B}]
oidc_providers: [{user_mapping_provider: {module: synapse.handlers.oidc.JinjaOidcMappingProvider}}]
`;
  const [finding] = await found(t, more);
  assert.deepEqual(finding?.evidence, ["spam_checker[0].module: a.A", "spam_checker[1].module: a.B"]);
  assert.match(finding.sentence, /package a:/);
});

test("optional parts of Synapse are named when a setting needs them", async (t) => {
  const cases: Record<string, string | undefined> = {
    "": undefined,
    "oidc_providers: []\njwt_config: {enabled: false}\nredis: {enabled: no}\nsaml2_config: {sp_config: {}, enabled: false}\n":
      undefined,
    "oidc_providers: [{idp_id: a}]\n": "oidc",
    "jwt_config: {enabled: true}\nredis: {enabled: yes}\n": "jwt, redis",
    "saml2_config: {sp_config: {metadata: {}}}\nurl_preview_enabled: true\n": "saml2, url-preview",
    "sentry: {dsn: geheim}\nopentracing: {enabled: true}\ncaches: {track_memory_usage: true}\n":
      "opentracing, sentry, cache-memory",
  };
  for (const [more, extras] of Object.entries(cases)) {
    const findings = await found(t, more);
    assert.equal(findings[0]?.sentence.split(": ")[1], extras, more);
    assert.doesNotMatch(JSON.stringify(findings), /geheim/);
  }
});
