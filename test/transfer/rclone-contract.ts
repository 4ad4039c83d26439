import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { realHttp } from "../../src/system/http/http.ts";
import { rcloneDestination } from "../../src/transfer/rclone-store.ts";
import type { Destination } from "../../src/transfer/remote.ts";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { machineWith } from "../support/fake-machine.ts";
import { S3Server } from "../support/lab/s3-server.ts";
import { freePort, ServerProcess } from "../support/lab/server-process.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { type Place, remoteContract, storedIn } from "./contract.ts";

const host = { files: realFiles, programs: programsWith(), machine: machineWith(), http: realHttp };

/** What rclone serves. */
export const served = temporaryFolder("rclone-served");
const configFile = join(temporaryFolder("rclone-config"), "rclone.conf");
const sections: string[] = [];
const running: { stop(): Promise<unknown> }[] = [];
const proxies: Record<string, BreakingProxy> = {};
let places = 0;

export const to = (remote: string): Destination =>
  rcloneDestination(remote, { configFile, bandwidth: undefined }, host);

function configure(name: string, settings: string): void {
  sections.push(`[${name}]\n${settings}\n`);
  writeFileSync(configFile, sections.join("\n"));
}

type Kind = "sftp" | "webdav";

/** A server that rclone itself is, for one folder; then it is a remote of that name. */
async function serve(name: string, kind: Kind, folder: string): Promise<{ stop(): Promise<unknown> }[]> {
  const port = await freePort();
  const server = new ServerProcess({
    program: "rclone",
    args: [
      ...["serve", kind, folder, "--addr", `127.0.0.1:${port}`, "--user", "u", "--pass", "a password"],
      ...["--config", configFile, "--dir-cache-time", "1ms", "--log-level", "ERROR"],
    ],
    folder,
    environment: { XDG_CACHE_HOME: temporaryFolder("rclone-cache") },
  });
  const proxy = await BreakingProxy.to(port);
  proxies[name] = proxy;
  const secret = execFileSync("rclone", ["obscure", "a password"], { encoding: "utf8" }).trim();
  const account = `user = u\npass = ${secret}`;
  configure(
    name,
    kind === "sftp"
      ? `type = sftp\nhost = 127.0.0.1\nport = ${proxy.port}\n${account}`
      : `type = webdav\nurl = http://127.0.0.1:${proxy.port}\nvendor = other\n${account}`,
  );
  const stops = [proxy, { stop: () => server.stop("SIGTERM", 5) }];
  try {
    await server.untilReady(() => answers(`${name}:`), 60);
  } catch (error) {
    for (const one of stops) await one.stop();
    throw error;
  }
  return stops;
}

async function startAll(): Promise<void> {
  configure("local", "type = local");
  for (const kind of ["sftp", "webdav"] as const) running.push(...(await serve(kind, kind, served)));
  const s3 = await S3Server.start();
  running.push(s3);
  const proxy = await BreakingProxy.to(Number(new URL(s3.url).port));
  running.push(proxy);
  proxies["s3"] = proxy;
  configure(
    "s3",
    `type = s3\nprovider = Other\nendpoint = http://127.0.0.1:${proxy.port}\naccess_key_id = lab\nsecret_access_key = lab\nregion = us-east-1`,
  );
}

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

/** A remote of its own whose disk is small. */
async function smallAt(kind: Kind, t: TestContext): Promise<Destination> {
  const name = `${kind}-small-${(places += 1)}`;
  const stops = await serve(name, kind, await smallDisk(t));
  t.after(async () => {
    for (const one of stops) await one.stop();
  });
  return to(`${name}:bundle`);
}

/** The contract for every kind of remote that rclone reaches here, each cut at these tenths of a file. */
export function rcloneContract(tenths: readonly number[]): void {
  before(startAll);
  after(async () => {
    for (const one of running.reverse()) await one.stop();
  });

  /** A place whose files are in a folder of this host, whatever rclone reaches it by. */
  const placeIn = (remote: string, path: string, folder: string): Place => {
    proxies[remote]?.mend();
    return {
      destination: to(`${remote}:${path}`),
      appends: false,
      tenths,
      ...storedIn(folder),
      ...(proxies[remote] === undefined ? {} : { connection: proxies[remote] }),
    };
  };

  remoteContract("rclone to a local folder", () => {
    const folder = join(temporaryFolder("place"), "bundle");
    return Promise.resolve({
      ...placeIn("local", folder, folder),
      small: async (t: TestContext) => to(`local:${await smallDisk(t)}`),
    });
  });

  for (const kind of ["sftp", "webdav"] as const)
    remoteContract(`rclone by ${kind}`, () => {
      const name = `${kind}-${(places += 1)}`;
      return Promise.resolve({
        ...placeIn(kind, name, join(served, name)),
        small: (t: TestContext) => smallAt(kind, t),
      });
    });

  // What the server has is in its memory, so it is never full.
  remoteContract(
    "rclone to S3",
    () => {
      const remote = `s3:bucket-${(places += 1)}/bundle`;
      proxies["s3"]!.mend();
      return Promise.resolve({
        destination: to(remote),
        appends: false,
        tenths,
        names: async () => (await rclone(["lsf", remote])).toString().split("\n").filter(Boolean),
        read: (name) => rclone(["cat", `${remote}/${name}`]),
        write: async (name, bytes) => {
          const path = join(temporaryFolder("written"), name);
          writeFileSync(path, bytes);
          await rclone(["copyto", "--ignore-times", path, `${remote}/${name}`]);
        },
        connection: proxies["s3"]!,
      });
    },
    { fills: false },
  );
}
