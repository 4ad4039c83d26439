import assert from "node:assert/strict";
import { test } from "node:test";
import { arrangeForDebian } from "../../../../src/homeserver/config/pack/debian-layout.ts";
import { parsePackedPaths, PATHS_NAME } from "../../../../src/homeserver/config/pack/packed-file.ts";

/** A packed configuration of files that each hold their own name. */
function packed(order: string[], configFiles: string[], others: string[] = []): Map<string, Uint8Array> {
  const files = [
    ...configFiles.map((name) => ({ name, role: "config" })),
    ...others.map((name) => ({ name, role: "other" })),
  ];
  const paths = {
    format: 1,
    order,
    configFiles,
    files: files.map((one) => ({ ...one, path: "/x", setting: "-c", mode: 0o600 })),
    missing: [],
  };
  return new Map([
    ...[...configFiles, ...others].map((name) => [name, Buffer.from(name)] as const),
    [PATHS_NAME, Buffer.from(JSON.stringify(paths))] as const,
  ]);
}

const arranged = (...args: Parameters<typeof packed>) => {
  const result = arrangeForDebian(packed(...args));
  return { result, paths: parsePackedPaths(result.get(PATHS_NAME)) };
};

test("what Debian's unit reads already keeps its names", () => {
  const { result, paths } = arranged(
    ["homeserver.yaml", "conf.d/"],
    ["homeserver.yaml", "conf.d/b.yaml"],
    ["key"],
  );
  assert.deepEqual([...result.keys()].sort(), ["conf.d/b.yaml", "homeserver.yaml", "key", PATHS_NAME]);
  assert.deepEqual(paths.order, ["homeserver.yaml", "conf.d/"]);
});

test("files of other names, and more of them, become that one file and that folder, in the order they had", () => {
  const { result, paths } = arranged(
    ["main.yaml", "z.yaml", "extra/"],
    ["main.yaml", "z.yaml", "extra/a.yaml"],
  );
  assert.deepEqual(paths.configFiles, ["homeserver.yaml", "conf.d/001-z.yaml", "conf.d/002-a.yaml"]);
  assert.deepEqual(paths.order, ["homeserver.yaml", "conf.d/"]);
  assert.equal(Buffer.from(result.get("conf.d/002-a.yaml")!).toString(), "extra/a.yaml");
  assert.deepEqual(
    paths.files.map(({ name }) => name),
    paths.configFiles,
  );
});

test("two files that would get one name are refused", () => {
  assert.throws(() => arranged(["a.yaml"], ["a.yaml"], ["homeserver.yaml"]), { code: "restore-failed" });
});

test("the file that Debian's unit requires is added with the server name, and one that is there is kept", () => {
  const paths = {
    format: 1,
    order: ["main.yaml", "more/"],
    configFiles: ["main.yaml", "more/z.yaml"],
    files: ["main.yaml", "more/z.yaml"].map((name) => ({
      name,
      path: "/x",
      setting: "-c",
      role: "config",
      mode: 0o600,
    })),
    missing: [],
  };
  const source = new Map<string, Uint8Array>([
    ["main.yaml", Buffer.from("server_name: old.example:8448\n")],
    ["more/z.yaml", Buffer.from("pid_file: /run/x\n")],
    [PATHS_NAME, Buffer.from(JSON.stringify(paths))],
  ]);
  const result = arrangeForDebian(source);
  const text = Buffer.from(result.get("conf.d/server_name.yaml")!).toString();
  assert.match(text, /^server_name: old\.example:8448$/m);
  const { configFiles, files } = parsePackedPaths(result.get(PATHS_NAME));
  assert.deepEqual(configFiles, ["homeserver.yaml", "conf.d/001-z.yaml", "conf.d/server_name.yaml"]);
  assert.equal(files.at(-1)!.role, "config");
  assert.deepEqual(arrangeForDebian(result), result);
});
