import assert from "node:assert/strict";
import { userInfo } from "node:os";
import { test } from "node:test";
import { ownAccount } from "../../src/system/own-account.ts";

test("an account that has no name, as in a container, is known by its number", () => {
  const { uid, username } = userInfo();
  assert.deepEqual(ownAccount(), { uid, name: username });
  const nobody = () => {
    // What Node does where getpwuid_r(3) finds nothing.
    throw new Error("A system error occurred: uv_os_get_passwd returned ENOENT");
  };
  assert.deepEqual(ownAccount(nobody), { uid, name: String(uid) });
});
