import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** How a stand-in for matrix-media-repo behaves. May be changed while it serves. */
export interface MediaRepoBehaviour {
  token: string;
  serverName: string;
  /** The files of its exports, by name. */
  parts: Record<string, Buffer>;
  held: { files: number; bytes: number };
  /** Looks at a task until it is over; at each another part is there. */
  looks: number;
  /** Of a task that is over. */
  fault: string;
  /** Bytes after which it breaks off the part with this name. */
  breaks: { name: string; after: number } | undefined;
  /** Answers instead, to a question whose path matches. */
  instead: { path: RegExp; status: number; body?: string; times: number } | undefined;
}

/** Speaks the admin API of matrix-media-repo for exports, as far as its handlers do it. */
export async function startMediaRepo(t: TestContext, behaviour: MediaRepoBehaviour) {
  const asked: string[] = [];
  let exports = 0;
  let looks = 0;
  const server = createServer((request, response) => {
    const path = (request.url ?? "").replace("/_matrix/media/unstable/admin", "");
    asked.push(`${request.method} ${path}`);
    answer(request, response, path);
  });

  function answer(request: IncomingMessage, response: ServerResponse, path: string): void {
    const say = (status: number, body: object | string) =>
      response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
    const { instead } = behaviour;
    if (instead && instead.times > 0 && instead.path.test(path)) {
      instead.times -= 1;
      return void say(instead.status, instead.body ?? '{"errcode":"M_UNKNOWN","error":"no"}');
    }
    if (request.headers.host !== behaviour.serverName) return void say(502, { errcode: "M_UNKNOWN" });
    const names = Object.keys(behaviour.parts);
    const part = /^\/export\/secret(\d+)\/part\/(\d+)$/.exec(path);
    if (part) {
      sendPart(response, names[Number(part[2]) - 1]);
      return;
    }
    if (/^\/export\/secret\d+\/metadata$/.test(path)) {
      const shown = names.slice(0, looks >= behaviour.looks ? names.length : looks);
      return void say(200, {
        entity: behaviour.serverName,
        parts: shown.map((name, index) => ({ index: index + 1, size: behaviour.parts[name]!.length, name })),
      });
    }
    if (request.headers.authorization !== `Bearer ${behaviour.token}`)
      return void say(401, { errcode: "M_UNKNOWN_TOKEN" });
    if (path.startsWith("/usage/")) {
      const { files, bytes } =
        path === `/usage/${behaviour.serverName}` ? behaviour.held : { files: 0, bytes: 0 };
      const counts = (count: number) => ({ total: count, media: count, thumbnails: 0 });
      return void say(200, { raw_bytes: counts(bytes), raw_counts: counts(files) });
    }
    if (request.method === "POST" && path === `/server/${behaviour.serverName}/export?s3_urls=false`) {
      exports += 1;
      looks = 0;
      return void say(200, { export_id: `secret${exports}`, task_id: exports });
    }
    if (path === `/tasks/${exports}`) {
      looks += 1;
      const over = looks >= behaviour.looks;
      return void say(200, {
        ...{ task_id: exports, task_name: "export_data", params: {}, start_ts: 1, end_ts: over ? 2 : 0 },
        ...{ is_finished: over, error_message: over ? behaviour.fault : "" },
      });
    }
    say(404, { errcode: "M_NOT_FOUND" });
  }

  function sendPart(response: ServerResponse, name: string | undefined): void {
    const bytes = name === undefined ? undefined : behaviour.parts[name];
    if (!bytes) return void response.writeHead(404).end("{}");
    response.writeHead(200, { "content-type": "application/gzip", "content-length": bytes.length });
    if (behaviour.breaks?.name !== name) return void response.end(bytes);
    response.write(bytes.subarray(0, behaviour.breaks?.after), () => response.socket?.destroy());
  }

  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
