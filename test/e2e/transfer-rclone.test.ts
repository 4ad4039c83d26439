import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { rcloneDestination } from "../../src/transfer/rclone-store.ts";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { noise } from "../support/bytes.ts";
import { machineWith } from "../support/fake-machine.ts";
import { S3Server } from "../support/lab/s3-server.ts";
import { freePort, ServerProcess } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { localFile, type Place, remoteContract } from "../transfer/contract.ts";

const host = { files: realFiles, programs: programsWith(), machine: machineWith() };
const NEVER = new AbortController().signal;
const ignored = { signal: NEVER, resumed: () => undefined, moved: () => undefined, checked: () => undefined };

/** What rclone serves. */
const served = temporaryFolder("rclone-served");
const configFile = join(temporaryFolder("rclone-config"), "rclone.conf");
const running: { stop(): Promise<unknown> }[] = [];
const proxies: Record<string, BreakingProxy> = {};
let places = 0;

const to = (remote: string) => rcloneDestination(remote, { configFile, bandwidth: undefined }, host);

before(async () => {
  const sections = [["local", "type = local"]];
  const secret = execFileSync("rclone", ["obscure", "a password"], { encoding: "utf8" }).trim();
  for (const [kind, settings] of [
    ["sftp", (port: number) => `type = sftp\nhost = 127.0.0.1\nport = ${port}\nuser = u\npass = ${secret}`],
    [
      "webdav",
      (port: number) =>
        `type = webdav\nurl = http://127.0.0.1:${port}\nvendor = other\nuser = u\npass = ${secret}`,
    ],
  ] as const) {
    const port = await freePort();
    const server = new ServerProcess({
      program: "rclone",
      args: [
        ...["serve", kind, served, "--addr", `127.0.0.1:${port}`, "--user", "u", "--pass", "a password"],
        ...["--config", configFile, "--dir-cache-time", "1ms", "--log-level", "ERROR"],
      ],
      folder: served,
      environment: { XDG_CACHE_HOME: temporaryFolder("rclone-cache") },
    });
    running.push({ stop: () => server.stop("SIGTERM", 5) });
    const proxy = await BreakingProxy.to(port);
    running.push(proxy);
    proxies[kind] = proxy;
    sections.push([kind, settings(proxy.port)]);
    writeFileSync(configFile, sections.map(([name, text]) => `[${name!}]\n${text!}\n`).join("\n"));
    await server.untilReady(() => answers(`${kind}:`), 60);
  }
  const s3 = await S3Server.start();
  running.push(s3);
  const s3Proxy = await BreakingProxy.to(Number(new URL(s3.url).port));
  running.push(s3Proxy);
  proxies["s3"] = s3Proxy;
  sections.push([
    "s3",
    `type = s3\nprovider = Other\nendpoint = http://127.0.0.1:${s3Proxy.port}\naccess_key_id = lab\nsecret_access_key = lab\nregion = us-east-1`,
  ]);
  writeFileSync(configFile, sections.map(([name, text]) => `[${name!}]\n${text!}\n`).join("\n"));
});

after(async () => {
  for (const one of running.reverse()) await one.stop();
});

/** Not one that waits: the proxies before the servers are in this process. */
async function rclone(args: readonly string[]): Promise<Buffer> {
  const child = spawn("rclone", [...args, "--config", configFile], {
    stdio: ["ignore", "pipe", "pipe"],
    // Without variables that only this machine has, as the program under test.
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"] },
  });
  const chunks: Buffer[] = [];
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`rclone ${args.join(" ")}: ${said}`);
  return Buffer.concat(chunks);
}

const answers = (remote: string) =>
  rclone(["lsf", remote, "--contimeout", "2s", "--low-level-retries", "1", "--retries", "1"]).then(
    () => true,
    () => false,
  );

/** A place whose files are in a folder of this host, whatever rclone reaches it by. */
function placeIn(remote: string, path: string, folder: string): Place {
  proxies[remote]?.mend();
  return {
    destination: to(`${remote}:${path}`),
    appends: false,
    tenths: [5],
    names: () => readdirSync(folder),
    read: (name) => readFileSync(join(folder, name)),
    write: (name, bytes) => {
      writeFileSync(join(folder, name), bytes);
    },
    ...(proxies[remote] === undefined ? {} : { connection: proxies[remote] }),
  };
}

remoteContract("rclone to a local folder", () => {
  const folder = join(temporaryFolder("place"), "bundle");
  return Promise.resolve({
    ...placeIn("local", folder, folder),
    small: async (t: TestContext) => to(`local:${await smallDisk(t)}`),
  });
});

for (const kind of ["sftp", "webdav"])
  remoteContract(`rclone by ${kind}`, () => {
    const name = `${kind}-${(places += 1)}`;
    return Promise.resolve(placeIn(kind, name, join(served, name)));
  });

remoteContract("rclone to S3", () => {
  const remote = `s3:bucket-${(places += 1)}/bundle`;
  proxies["s3"]!.mend();
  return Promise.resolve({
    destination: to(remote),
    appends: false,
    tenths: [5],
    names: async () => (await rclone(["lsf", remote])).toString().split("\n").filter(Boolean),
    read: (name) => rclone(["cat", `${remote}/${name}`]),
    write: async (name, bytes) => {
      const path = join(temporaryFolder("written"), name);
      writeFileSync(path, bytes);
      await rclone(["copyto", "--ignore-times", path, `${remote}/${name}`]);
    },
    connection: proxies["s3"]!,
  });
});

test("a remote that rclone does not know is final, with the command that shows it", async () => {
  await assert.rejects(to("never-configured:x").open(NEVER, { create: true }), {
    code: "connection-failed",
    hint: "correct it until this command works, as this account: rclone lsf never-configured:x",
  });
  await assert.rejects(to(`local:${served}/none`).open(NEVER, { create: false }), { code: "file-missing" });
});

test("a place that can be listed but not written to is final at once", async () => {
  const folder = join(served, "read-only");
  mkdirSync(folder);
  const remote = await to(`local:${folder}`).open(NEVER, { create: true });
  const account = process.getuid?.() === 0 ? execFileSync("chattr", ["+i", folder]) : undefined;
  try {
    if (account === undefined) execFileSync("chmod", ["0500", folder]);
    await assert.rejects(remote.put(localFile("x", noise(99)), ignored), { code: "permission-denied" });
  } finally {
    if (account !== undefined) execFileSync("chattr", ["-i", folder]);
  }
});
