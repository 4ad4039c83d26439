import { join } from "node:path";
import type { TestContext } from "node:test";
import { Interrupted } from "../../src/errors.ts";
import { invite } from "../../src/move/receive/invite.ts";
import { receive, type ReceiveOrder } from "../../src/move/receive/run.ts";
import { realFiles } from "../../src/system/files/files.ts";
import { realStreamServers } from "../../src/system/http/stream-server.ts";
import type { Machine } from "../../src/system/machine.ts";
import { noProgress } from "../../src/system/progress.ts";
import { parseToken } from "../../src/transfer/invitation.ts";
import { machineWith } from "./fake-machine.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";
import { programsWith } from "./real-world.ts";

/** A `synlift receive` in this process, on a port of its own. */
export interface TestReceiver {
  readonly folder: string;
  readonly port: number;
  /** "http://127.0.0.1:PORT", or with https. */
  readonly origin: string;
  /** What it told its provider. */
  readonly notes: readonly string[];
  /** A new invitation. */
  invite(name: string, given?: { days?: number; limit?: number; url?: string }): Promise<TestInvitation>;
  stop(): Promise<void>;
}

export interface TestInvitation {
  readonly name: string;
  readonly token: string;
  /** File of the invitation. */
  readonly file: string;
}

export async function startReceiver(
  given: Partial<ReceiveOrder> & { readonly machine?: Partial<Machine> } = {},
  t?: Pick<TestContext, "after">,
): Promise<TestReceiver> {
  const { machine: faked, ...order } = given;
  const folder = order.folder ?? join(temporaryFolder("receiver"), "incoming");
  const machine = machineWith(faked);
  const notes: string[] = [];
  const stopping = new AbortController();
  let listening: (port: number) => void = () => undefined;
  const begun = new Promise<number>((resolve) => (listening = resolve));
  const running = receive(
    {
      folder,
      listen: { address: "127.0.0.1", port: 0 },
      tls: undefined,
      plain: false,
      hook: undefined,
      bandwidth: undefined,
      connections: 256,
      silence: 60,
      ...order,
    },
    {
      files: realFiles,
      programs: programsWith(),
      streamServers: realStreamServers,
      machine,
      signal: stopping.signal,
    },
    {
      ...noProgress,
      note(sentence) {
        notes.push(sentence);
        const port = /^listening on .*:(\d+)$/.exec(sentence)?.[1];
        if (port !== undefined) listening(Number(port));
      },
    },
  );
  const port = await Promise.race([begun, running.then(() => 0)]);
  const origin = `${order.tls ? "https" : "http"}://127.0.0.1:${port}`;
  const stop = async () => {
    stopping.abort(new Interrupted("SIGTERM"));
    await running;
  };
  t?.after(stop);
  return {
    folder,
    port,
    origin,
    notes,
    stop,
    async invite(name, { days = 14, limit = 1024 ** 4, url = origin } = {}) {
      const file = join(temporaryFolder("invitation"), `${name}.invitation`);
      await invite({ folder, name, url, out: file, days, limit }, { files: realFiles, machine });
      const { token } = JSON.parse(await realFiles.readText(file)) as { token: string };
      return { name: parseToken(token)!.name, token, file };
    },
  };
}
