import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Homeserver } from "../../src/homeserver/homeserver.ts";
import { accessOf, folderAccess } from "../../src/move/folder-access.ts";
import { above, type Access, deniedTo } from "../../src/system/files/access.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { giveEmptyFolder } from "../../src/system/files/owned-folder.ts";
import { machineWith } from "../support/fake-machine.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";

// What an account can enter, read and write: the kernel is asked. Only root can ask as another account.

const machine = machineWith();
const system = { files: realFiles, machine, programs: programsWith() };
const nobody = machine.account("nobody")!;

/** Folders below a new one that everybody may enter, by mode. */
function folders(modes: Readonly<Record<string, number>>): string {
  const root = temporaryFolder("access");
  for (const [name, mode] of Object.entries(modes)) {
    mkdirSync(join(root, name), { recursive: true });
    chmodSync(join(root, name), mode);
  }
  return root;
}

const enter = (path: string): Access => ({ path, needs: "enter" });

test("the folders on the way to a path begin at the root", () => {
  assert.deepEqual(above("/a/b"), ["/", "/a", "/a/b"]);
  assert.deepEqual(above("/"), ["/"]);
});

test("root can enter everything; without root nobody can ask for another account, but for the own one", async () => {
  const root = folders({ closed: 0o700 });
  const wanted = [enter(join(root, "closed"))];
  assert.deepEqual(await deniedTo({ name: "root", uid: 0, gid: 0, home: "/" }, wanted, system), []);
  const other = { ...system, machine: machineWith({ isRoot: false, user: "nobody" }) };
  assert.equal(await deniedTo({ name: "x", uid: 4711, gid: 4711, home: "/" }, wanted, other), undefined);
  const own = { ...system, machine: machineWith({ isRoot: false }) };
  assert.deepEqual(await deniedTo(machine.account(machine.user)!, wanted, own), []);
});

test("the topmost folder that an account cannot enter is named once, also behind a link", async () => {
  if (!machine.isRoot) return;
  const root = folders({ open: 0o755, closed: 0o700, "closed/below": 0o755, "closed/below/more": 0o755 });
  symlinkSync(join(root, "closed/below"), join(root, "open/link"));
  const closed = [enter(join(root, "closed"))];
  assert.deepEqual(
    await deniedTo(
      nobody,
      [enter(join(root, "closed/below/more")), enter(join(root, "closed/below"))],
      system,
    ),
    closed,
  );
  assert.deepEqual(await deniedTo(nobody, [enter(join(root, "open/link/more"))], system), closed);
  assert.deepEqual(await deniedTo(nobody, [enter(join(root, "open"))], system), []);
  writeFileSync(join(root, "closed/below/key"), "", { mode: 0o644 });
  assert.deepEqual(
    await deniedTo(nobody, [{ path: join(root, "closed/below/key"), needs: "read" }], system),
    closed,
    "what is below is not told as well",
  );
  chmodSync(join(root, "closed"), 0o711);
  assert.deepEqual(await deniedTo(nobody, [enter(join(root, "open/link/more"))], system), []);
});

test("all groups of the account count, as they do for Synapse", async () => {
  if (!machine.isRoot) return;
  const root = folders({ grouped: 0o750, listed: 0o700 });
  const [, , gid] = execFileSync("getent", ["group", "nogroup"], { encoding: "utf8" }).split(":");
  chownSync(join(root, "grouped"), 0, Number(gid));
  const both = ["grouped", "listed"].map((name) => enter(join(root, name)));
  assert.deepEqual(await deniedTo(nobody, both, system), [both[1]]);
  // A group that is not the account's first one.
  const memberOf = execFileSync("id", ["-G", "postgres"], { encoding: "utf8" }).trim().split(" ");
  if (memberOf.length > 1) {
    chownSync(join(root, "grouped"), 0, Number(memberOf[1]));
    assert.deepEqual(await deniedTo(machine.account("postgres")!, both, system), [both[1]]);
  }
});

test("a file that cannot be read or written is named, with the command that mends it", async () => {
  if (!machine.isRoot) return;
  const root = folders({ config: 0o700, logs: 0o755, tls: 0o755, media: 0o755 });
  writeFileSync(join(root, "tls/key.pem"), "", { mode: 0o600 });
  const wanted: Access[] = [
    enter(join(root, "config")),
    { path: join(root, "tls/key.pem"), needs: "read" },
    { path: join(root, "logs"), needs: "write" },
    { path: join(root, "nowhere"), needs: "write" },
  ];
  const own = [join(root, "config"), join(root, "logs")];
  const [finding] = await folderAccess({ account: nobody, wanted, own }, "blocker", system);
  assert.equal(finding?.id, "folder-access");
  assert.equal(finding.level, "blocker");
  assert.equal(finding.evidence?.length, 4);
  assert.equal(
    finding.evidence[0],
    `nobody cannot enter ${root}/config: it belongs to user id 0 and has mode 0700`,
  );
  assert.equal(finding.evidence[3], `${root}/nowhere does not exist`);
  const commands = finding.hint!.replace(/^[^:]*: /, "").split("; ");
  assert.deepEqual(commands, [
    `chown nobody: ${root}/config`,
    `setfacl -m u:nobody:r ${root}/tls/key.pem`,
    `chown nobody: ${root}/logs`,
    `install -d -m 0750 -o nobody ${root}/nowhere`,
  ]);
  // As a person would, but for an access list, whose program need not be there.
  for (const command of commands.filter((one) => !one.startsWith("setfacl")))
    execFileSync("sh", ["-c", command]);
  chmodSync(join(root, "tls/key.pem"), 0o644);
  assert.deepEqual(await folderAccess({ account: nobody, wanted, own }, "blocker", system), [
    {
      id: "folder-access",
      level: "ok",
      sentence: "nobody can enter every folder on the way to the server's files",
    },
  ]);
});

test("a folder above is opened no further than it has to be", async () => {
  if (!machine.isRoot) return;
  const root = folders({ home: 0o700, "home/config": 0o700 });
  chownSync(join(root, "home/config"), nobody.uid, nobody.gid);
  const needs = {
    account: nobody,
    wanted: [enter(join(root, "home/config"))],
    own: [join(root, "home/config")],
  };
  const [finding] = await folderAccess(needs, "warning", system);
  assert.equal(finding?.level, "warning");
  assert.match(finding.hint!, new RegExp(`: chmod o\\+x ${root}/home$`));
  execFileSync("sh", ["-c", finding.hint!.replace(/^[^:]*: /, "")]);
  assert.equal(statSync(join(root, "home")).mode & 0o777, 0o701);
  assert.deepEqual(
    (await folderAccess(needs, "warning", system)).map(({ level }) => level),
    ["ok"],
  );
});

test("what a server needs: its folders, its key, its log, and certificates where it listens with TLS", async () => {
  const root = folders({ config: 0o755, "config/conf.d": 0o755, keys: 0o755, logs: 0o755, media: 0o755 });
  const log = join(root, "config/log.yaml");
  writeFileSync(
    log,
    `handlers: { file: { filename: ${root}/logs/homeserver.log }, other: { filename: here.log }, console: { filename: /dev/stdout } }`,
  );
  writeFileSync(join(root, "keys/tls.key"), "");
  const homeserver = {
    signingKey: { kind: "file", path: join(root, "keys/signing.key") },
    database: { kind: "sqlite", path: join(root, "database/homeserver.db") },
    mediaStore: join(root, "media"),
    workingFolder: join(root, "config"),
    listeners: [{ port: 8448, addresses: [], tls: true, resources: [] }],
    referenced: [
      { setting: "log_config", path: log, role: "log-config", required: false },
      { setting: "tls_private_key_path", path: join(root, "keys/tls.key"), role: "tls", required: true },
      { setting: "tls_certificate_path", path: join(root, "keys/missing"), role: "tls", required: true },
    ],
  } as unknown as Homeserver;
  const at = {
    folder: join(root, "config"),
    configPaths: [`${root}/config/homeserver.yaml`, `${root}/config/conf.d/`],
  };
  const said = async (given: Homeserver) =>
    (await accessOf(given, at, system)).map(({ path, needs }) => `${needs} ${path.slice(root.length + 1)}`);
  const all = await said(homeserver);
  assert.deepEqual([...new Set(all)].sort(), [
    "enter config",
    "enter config/conf.d",
    "enter database",
    "enter keys",
    "enter logs",
    "enter media",
    "read config",
    "read config/conf.d",
    "read keys/tls.key",
    "write config",
    "write logs",
  ]);
  const plain = { ...homeserver, listeners: [] };
  assert.ok(!(await said(plain)).includes("read keys/tls.key"));
  writeFileSync(join(root, "logs/homeserver.log"), "");
  assert.ok((await said(homeserver)).includes("write logs/homeserver.log"));
});

test("an empty private folder of root's is given to its account, and no other folder is", async () => {
  if (!machine.isRoot) return;
  const root = folders({
    made: 0o700,
    used: 0o700,
    shared: 0o755,
    "used/things": 0o700,
    "made/.synlift": 0o700,
  });
  chownSync(join(root, "made/.synlift"), 0, 0);
  for (const name of ["made", "used", "shared", "nowhere"])
    await giveEmptyFolder(join(root, name), nobody, [".synlift"], realFiles);
  const owners = ["made", "used", "shared"].map((name) => statSync(join(root, name)).uid);
  assert.deepEqual(owners, [nobody.uid, 0, 0]);
  assert.equal(statSync(join(root, "made/.synlift")).uid, 0);
  assert.equal(existsSync(join(root, "nowhere")), false);
});
