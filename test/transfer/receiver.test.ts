import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { realFiles } from "../../src/system/files/files.ts";
import { realStreamLines } from "../../src/system/http/stream-line.ts";
import { unlimited } from "../../src/transfer/pace.ts";
import { type ReceiverStatus, uploadId } from "../../src/transfer/receiver-format.ts";
import { receiverDestination } from "../../src/transfer/tus-store.ts";
import { BreakingProxy } from "../support/breaking-proxy.ts";
import { startReceiver, type TestInvitation, type TestReceiver } from "../support/receiver.ts";
import { smallDisk } from "../support/small-disk.ts";
import { remoteContract, storedIn } from "./contract.ts";

let server: TestReceiver;
let proxy: BreakingProxy;
let customers = 0;

before(async () => {
  server = await startReceiver();
  proxy = await BreakingProxy.to(server.port);
});
after(async () => {
  await proxy.stop();
  await server.stop();
});

const to = (port: number, { name, token }: TestInvitation) =>
  receiverDestination(
    { url: `http://127.0.0.1:${port}`, invitation: { name, token, url: undefined }, authorities: [] },
    { files: realFiles, streamLines: realStreamLines },
    unlimited,
  );

/** The server writes what it got after the connection has broken; asked for an offset, it ends that first. */
async function settled({ token }: TestInvitation): Promise<void> {
  const headers = { Authorization: `Bearer ${token}`, "Tus-Resumable": "1.0.0" };
  const { files } = (await (await fetch(`${server.origin}/status`, { headers })).json()) as ReceiverStatus;
  for (const file of files)
    if (file.state === "partial")
      await fetch(`${server.origin}/uploads/${uploadId(file)}`, { method: "HEAD", headers });
}

remoteContract("synlift receive", async () => {
  const invitation = await server.invite(`customer-${(customers += 1)}`);
  const folder = join(server.folder, invitation.name);
  proxy.mend();
  const names = async () => {
    await settled(invitation);
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  return {
    destination: to(proxy.port, invitation),
    appends: true,
    ...storedIn(folder),
    names,
    connection: proxy,
    small: async (t) => {
      const full = await startReceiver({ folder: join(await smallDisk(t), "incoming") }, t);
      return to(full.port, await full.invite("full"));
    },
  };
});
