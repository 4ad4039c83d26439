import { join } from "node:path";
import { Interrupted, MigrationError } from "../../errors.ts";
import { acquireLock } from "../../journal/lock.ts";
import { readPemPair, renewPemPair } from "../../system/http/pem-pair.ts";
import type { StreamListener, StreamReply, StreamRequest } from "../../system/http/stream-server.ts";
import { urlHost } from "../../system/ip-address.ts";
import type { Progress } from "../../system/progress.ts";
import type { System } from "../../system/system.ts";
import { limitedTo, unlimited } from "../../transfer/pace.ts";
import { hookRunner } from "./hook.ts";
import { Inboxes } from "./inboxes.ts";
import { invitedBy } from "./invitations.ts";
import { layoutOf } from "./layout.ts";
import { PAGE_FILES } from "./page.ts";
import { Problem } from "./problem.ts";
import { abilities, answerCustomer, failureReply, TUS } from "./protocol.ts";

export interface ReceiveOrder {
  /** A folder for all customers; made when it is missing. */
  readonly folder: string;
  readonly listen: { readonly address: string | undefined; readonly port: number };
  /** PEM files; undefined behind another web server. They are read again when they change. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  /** Whether it may listen without encryption on more than loopback. */
  readonly plain: boolean;
  /** Run by a shell for each bundle that is complete. */
  readonly hook: string | undefined;
  /** Bytes a second, of all customers together. */
  readonly bandwidth: number | undefined;
  /** Open connections at a time. */
  readonly connections: number;
  /** Seconds. */
  readonly silence: number;
}

export interface ReceiveResult {
  readonly endpoint: string;
  /** Bundles that became complete. */
  readonly bundles: number;
  /** Milliseconds. */
  readonly served: number;
}

type Host = Pick<System, "files" | "programs" | "streamServers" | "machine" | "signal">;

/** Milliseconds that requests in flight have to end. */
const GRACE = 8_000;
/** Milliseconds between two looks at the certificate and at invitations that have ended. */
const LOOK = 60_000;

/**
 * Takes in bundles until the process is asked to stop, which is no failure. What has arrived is kept, whatever ends it. Throws
 * `bundle-in-use` while another process serves the folder, `target-unsuitable` when it cannot listen, `bad-usage`, and what reading the
 * certificate throws.
 */
export async function receive(order: ReceiveOrder, system: Host, progress: Progress): Promise<ReceiveResult> {
  const { folder, listen, tls, plain, bandwidth } = order;
  const { files, machine, signal } = system;
  if (!tls && !plain && !isLoopback(listen.address))
    throw new MigrationError(
      "bad-usage",
      "without a certificate it listens on loopback only: invitations and data would be readable on the way",
      { hint: "give --certificate, or listen on 127.0.0.1 behind a web server that has one" },
    );
  await files.makeFolder(folder);
  await files.makeFolder(join(layoutOf(folder).lock, ".."));
  const held = await acquireLock(layoutOf(folder).lock, files, machine);
  let bundles = 0;
  let listener: StreamListener | undefined;
  const hook = hookRunner(order.hook, system, progress, async ({ customer, bundle }) => {
    await (await inboxes.of(customer)).told(bundle);
  });
  const inboxes = new Inboxes(folder, system, {
    pace: bandwidth === undefined ? unlimited : limitedTo(bandwidth, machine),
    complete: (bundle) => {
      bundles += 1;
      hook.run(bundle);
    },
  });
  const started = machine.elapsed();
  try {
    let pair = tls && (await readPemPair(tls, files));
    await inboxes.openAll();
    listener = await system.streamServers.listen({
      endpoint: listen,
      tls: pair,
      connections: order.connections,
      silence: order.silence * 1000,
      handle: (request) => answer(request, { folder, inboxes, system, progress }),
    });
    const { address, port } = listener;
    const endpoint = `${tls ? "https" : "http"}://${urlHost(address)}:${port}`;
    progress.note(`listening on ${endpoint}`);
    try {
      for (;;) {
        const removed = await inboxes.expire();
        if (removed > 0) progress.note(`${removed} unfinished uploads of ended invitations were removed`);
        await machine.wait(LOOK, signal);
        if (tls && pair) pair = await renewPemPair(tls, pair, listener, { files, progress });
      }
    } catch (error) {
      if (!(error instanceof Interrupted) && !signal.aborted) throw error;
    }
    return { endpoint, bundles, served: machine.elapsed() - started };
  } finally {
    await listener?.stop(GRACE);
    await inboxes.idle();
    await hook.idle();
    await held.release();
  }
}

const isLoopback = (address: string | undefined) => address === "::1" || /^127\./.test(address ?? "");

interface Served {
  readonly folder: string;
  readonly inboxes: Inboxes;
  readonly system: Host;
  readonly progress: Progress;
}

/** Never rejects but for a client that is gone. */
async function answer(
  request: StreamRequest,
  { folder, inboxes, system, progress }: Served,
): Promise<StreamReply> {
  try {
    const path = pathOf(request.target);
    const pageFile = request.method === "GET" || request.method === "HEAD" ? PAGE_FILES.get(path) : undefined;
    if (pageFile) return pageFile;
    if (request.method === "OPTIONS") return abilities;
    const token = /^Bearer ([\w.-]{1,200})$/.exec(request.header("authorization") ?? "")?.[1];
    const invited = token === undefined ? "refused" : await invitedBy(folder, token, system);
    if (invited === "expired") throw new Problem(401, "invitation", "the invitation has expired");
    if (invited === "refused") throw new Problem(401, "invitation", "this needs a valid invitation");
    const inbox = await inboxes.of(invited.name);
    return await answerCustomer({ request, path, inbox, invited, host: system });
  } catch (error) {
    const reply = failureReply(error);
    if (!reply) throw error;
    if (reply.status === 500)
      progress.note(`a request failed: ${error instanceof Error ? error.message : "unknown"}`);
    return reply.status === 401
      ? { ...reply, headers: { ...reply.headers, ...TUS, "WWW-Authenticate": "Bearer" } }
      : reply;
  }
}

/** Decoded, without its query. Names are looked up in what has arrived, so none can lead out of a folder. */
function pathOf(target: string): string {
  const raw = target.replace(/^https?:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "");
  try {
    const path = decodeURIComponent(raw === "" ? "/" : raw);
    if (path.startsWith("/") && !path.includes("\0")) return path;
  } catch {
    // An escape that is none.
  }
  throw new Problem(400, "request", "this is no path");
}
