import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { unlimited } from "../../src/transfer/pace.ts";
import type { Destination } from "../../src/transfer/remote.ts";
import { sftpDestination } from "../../src/transfer/sftp-store.ts";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { machineWith } from "../support/fake-machine.ts";
import { type SshServer, startSshServer } from "../support/lab/ssh-server.ts";
import { temporaryFolder } from "../support/lab/temporary-folder.ts";
import { programsWith } from "../support/real-world.ts";
import { smallDisk } from "../support/small-disk.ts";
import { remoteContract, storedIn } from "./contract.ts";

export const host = { files: realFiles, programs: programsWith(), machine: machineWith() };

let shell: SshServer;
let proxy: BreakingProxy;

/** The server behind "far". */
export const server = (): SshServer => shell;

/** A folder on the host "far", or "jumped", which is reached through it. */
export const to = (path: string, name = "far"): Destination =>
  sftpDestination({ host: name, path }, { configFile: shell.configFile }, host, unlimited);

/** The contract for OpenSSH's server, whose connections are cut at these tenths of a file. */
export function sftpContract(tenths: readonly number[]): void {
  before(async () => {
    shell = await startSshServer();
    proxy = await BreakingProxy.to(shell.port);
    writeFileSync(
      shell.configFile,
      [
        ...[
          "Host far",
          "  HostName 127.0.0.1",
          `  Port ${proxy.port}`,
          `  HostKeyAlias [127.0.0.1]:${shell.port}`,
        ],
        ...["Host jumped", "  HostName 127.0.0.1", `  Port ${shell.port}`, "  ProxyJump far"],
        readFileSync(shell.configFile, "utf8"),
      ].join("\n"),
    );
  });

  after(async () => {
    await proxy.stop();
    await shell.stop();
  });

  remoteContract("OpenSSH", () => {
    const folder = join(temporaryFolder("place"), "new", "bundle");
    proxy.mend();
    return Promise.resolve({
      destination: to(folder),
      appends: true,
      ...storedIn(folder),
      connection: proxy,
      tenths,
      small: async (t) => to(await smallDisk(t)),
    });
  });
}
