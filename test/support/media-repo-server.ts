import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** An upload as its listing has it, and what it hands out when somebody asks for it. */
export interface StoredUpload {
  size: number;
  /** Lower-case hex. */
  sha256: string;
  quarantined?: boolean;
  uploader?: string;
  /** Left out where only the export has it. Another content than the recorded is a damaged file of its datastore. */
  content?: Buffer;
  /** Instead of the content, as 500 for a file that is gone from the datastore. */
  status?: number;
  /** Says so many times that its limit of downloads is reached: with status 500, as the real one does. */
  limited?: number;
}

/**
 * How a stand-in for matrix-media-repo behaves. May be changed while it serves. What the real one answers was seen with
 * v1.3.4, v1.3.7 and its main branch at 84bcb70 (2024-12-26), each built and run on PostgreSQL 15.
 */
export interface MediaRepoBehaviour {
  token: string;
  serverName: string;
  /** The files of its exports, by name. 1.3.5 and later make two: an empty part, and a manifest without a record. */
  parts: Record<string, Buffer>;
  /** By media ID. */
  uploads: Record<string, StoredUpload>;
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
export async function startMediaRepo(t: Pick<TestContext, "after">, behaviour: MediaRepoBehaviour, port = 0) {
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
    const upload = /^\/_matrix\/(?:media\/v3|client\/v1\/media)\/download\/([^/]+)\/([^/?]+)/.exec(path);
    if (upload) {
      sendUpload(request, response, behaviour.uploads[decodeURIComponent(upload[2]!)]);
      return;
    }
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
    if (path === `/usage/${behaviour.serverName}/uploads`) {
      const listed = Object.entries(behaviour.uploads).map(([id, one]) => [
        `mxc://${behaviour.serverName}/${id}`,
        {
          size_bytes: one.size,
          uploaded_by: one.uploader ?? "@nora:example.org",
          datastore_id: "one",
          datastore_location: "aa/bb/cc",
          sha256_hash: one.sha256,
          quarantined: one.quarantined ?? false,
          upload_name: "a picture.png",
          content_type: "image/png",
          created_ts: 1_690_000_000_123,
        },
      ]);
      return void say(200, Object.fromEntries(listed) as object);
    }
    if (path.startsWith("/usage/")) {
      const held = path === `/usage/${behaviour.serverName}` ? Object.values(behaviour.uploads) : [];
      const files = held.length;
      const bytes = held.reduce((sum, { size }) => sum + size, 0);
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

  /** As it hands out an upload: 404 for a quarantined one, as for one that it does not know (api/r0/download.go). */
  function sendUpload(
    request: IncomingMessage,
    response: ServerResponse,
    upload: StoredUpload | undefined,
  ): void {
    const say = (status: number, errcode = "M_UNKNOWN") =>
      void response.writeHead(status).end(JSON.stringify({ errcode, error: "no" }));
    if (request.headers.authorization !== `Bearer ${behaviour.token}`) {
      say(401);
      return;
    }
    if (!upload?.content || upload.quarantined === true) {
      say(upload?.status ?? 404);
      return;
    }
    if (upload.limited !== undefined && upload.limited > 0) {
      upload.limited -= 1;
      say(500, "M_LIMIT_EXCEEDED");
      return;
    }
    if (upload.status !== undefined) {
      say(upload.status);
      return;
    }
    // The length is the recorded one: of a file that is shorter the connection breaks off (seen with v1.3.7).
    response.writeHead(200, { "content-type": "image/png", "content-length": upload.size });
    if (upload.content.length >= upload.size) response.end(upload.content.subarray(0, upload.size));
    else response.write(upload.content, () => response.socket?.destroy());
  }

  function sendPart(response: ServerResponse, name: string | undefined): void {
    const bytes = name === undefined ? undefined : behaviour.parts[name];
    if (!bytes) return void response.writeHead(404).end("{}");
    response.writeHead(200, { "content-type": "application/gzip", "content-length": bytes.length });
    if (behaviour.breaks?.name !== name) return void response.end(bytes);
    response.write(bytes.subarray(0, behaviour.breaks?.after), () => response.socket?.destroy());
  }

  server.listen(port, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
