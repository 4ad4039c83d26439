import type { Bytes } from "../../system/bytes.ts";
import { BrokenBody, type StreamReply, type StreamRequest } from "../../system/http/stream-server.ts";
import type { System } from "../../system/system.ts";
import {
  CHECKSUM_MISMATCH,
  OFFSET_TYPE,
  type ProofLine,
  TUS_VERSION,
} from "../../transfer/receiver-format.ts";
import type { WantedFile } from "../../transfer/remote.ts";
import type { Inbox } from "./inbox.ts";
import type { Invited } from "./invitations.ts";
import { Problem } from "./problem.ts";
import type { Checksum, Upload } from "./upload.ts";

/** What a request of an invited customer is answered with. */
interface Asked {
  readonly request: StreamRequest;
  /** Without the query, decoded. */
  readonly path: string;
  readonly inbox: Inbox;
  readonly invited: Invited;
  readonly host: Pick<System, "files" | "machine">;
}

const EXTENSIONS = "creation,checksum,expiration,termination";
const ALGORITHMS = ["sha256", "sha1"] as const;

/** tus 1.0.0, core protocol: what every reply has. */
export const TUS = { "Tus-Resumable": TUS_VERSION, "Cache-Control": "no-store" };

/** What the server can do, for anybody. */
export const abilities: StreamReply = {
  status: 204,
  headers: {
    ...TUS,
    "Tus-Version": TUS_VERSION,
    "Tus-Extension": EXTENSIONS,
    "Tus-Checksum-Algorithm": ALGORITHMS.join(","),
  },
};

const jsonReply = (status: number, value: unknown, headers: Record<string, string> = {}): StreamReply => ({
  status,
  headers: { ...TUS, "Content-Type": "application/json", "X-Content-Type-Options": "nosniff", ...headers },
  body: `${JSON.stringify(value)}\n`,
});

/** Throws `Problem`, and what the disk throws. */
export async function answerCustomer(asked: Asked): Promise<StreamReply> {
  const { request, path, inbox, invited } = asked;
  const [, room, name, more, rest] = path.split("/");
  const method = request.header("x-http-method-override") ?? request.method;
  if (rest !== undefined) throw notFound();
  if (room === "status" && name === undefined && method === "GET")
    return jsonReply(200, inbox.status(invited), { "X-Accel-Buffering": "no" });
  if (room === "uploads") {
    assertVersion(request, method);
    if (name === undefined || name === "") {
      if (method === "POST") return create(asked);
    } else if (more === "proof") {
      if (method === "GET") return proof(asked, (tell) => inbox.proveUpload(name, tell));
    } else if (more === undefined) {
      if (method === "HEAD") return offset(await inbox.settled(name), asked, 200);
      if (method === "PATCH") return patch(asked, name);
      if (method === "DELETE") {
        await inbox.removeUpload(name);
        return { status: 204, headers: TUS };
      }
    }
  }
  if (room === "files" && name !== undefined) {
    if (more === "proof" && method === "GET") {
      await inbox.file(name);
      return proof(asked, (tell) => inbox.proveFile(name, tell, request.signal));
    }
    if (more === undefined) {
      if (method === "GET" || method === "HEAD") return file(asked, name);
      if (method === "DELETE") {
        await inbox.remove(name);
        return { status: 204, headers: TUS };
      }
    }
  }
  throw notFound();
}

const notFound = () => new Problem(404, "not-found", "there is nothing here");

/** tus asks for it on every request but OPTIONS. */
function assertVersion(request: StreamRequest, method: string): void {
  if (method === "GET" || request.header("tus-resumable") === TUS_VERSION) return;
  throw new Problem(
    412,
    "request",
    `this server speaks tus ${TUS_VERSION}, so every request needs Tus-Resumable`,
  );
}

/** An offset or a length; undefined for anything that is none. */
const numberIn = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;

async function create(asked: Asked): Promise<StreamReply> {
  const { request, inbox, invited } = asked;
  const size = numberIn(request.header("upload-length"));
  if (size === undefined)
    throw new Problem(400, "request", "Upload-Length is missing, or is no number of bytes");
  const file = fileIn(request.header("upload-metadata") ?? "", size);
  const upload = await inbox.create(file, invited);
  const { status, headers } = offset(upload, asked, 201);
  // Relative, so that it is right behind a proxy that takes away the beginning of the path, too.
  return { status, headers: { ...headers, Location: `uploads/${upload.id}` } };
}

/** "filename eA==,sha256 YWJj…": pairs of a key and base64. */
function fileIn(metadata: string, size: number): WantedFile {
  const pairs = new Map(
    metadata.split(",").map((pair) => {
      const [key = "", value = ""] = pair.trim().split(" ");
      return [key, Buffer.from(value, "base64").toString()] as const;
    }),
  );
  const [name, sha256] = [pairs.get("filename"), pairs.get("sha256")];
  if (name === undefined || sha256 === undefined || !/^[0-9a-f]{64}$/.test(sha256))
    throw new Problem(
      400,
      "request",
      "Upload-Metadata has to have filename, and sha256 with 64 hexadecimal digits, each in base64",
    );
  return { name, size, sha256 };
}

function offset({ offset: at, file }: Upload, { invited }: Asked, status: number): StreamReply {
  return {
    status,
    headers: {
      ...TUS,
      "Upload-Offset": `${at}`,
      "Upload-Length": `${file.size}`,
      "Upload-Expires": new Date(invited.expires).toUTCString(),
    },
  };
}

async function patch(asked: Asked, id: string): Promise<StreamReply> {
  const { request, inbox } = asked;
  if (request.header("content-type") !== OFFSET_TYPE)
    throw new Problem(415, "request", `the content type of a piece is ${OFFSET_TYPE}`);
  const from = numberIn(request.header("upload-offset"));
  if (from === undefined)
    throw new Problem(400, "request", "Upload-Offset is missing, or is no number of bytes");
  const length = request.header("content-length");
  const upload = await inbox.receive(id, {
    from,
    length: length === undefined ? undefined : numberIn(length),
    checksum: checksumIn(request.header("upload-checksum")),
    body: request.body,
    signal: request.signal,
  });
  return offset(upload, asked, 204);
}

function checksumIn(text: string | undefined): Checksum | undefined {
  if (text === undefined) return undefined;
  const [name, value = ""] = text.split(" ");
  const algorithm = ALGORITHMS.find((one) => one === name);
  if (!algorithm) throw new Problem(400, "request", `Upload-Checksum is for ${ALGORITHMS.join(" and ")}`);
  return { algorithm, digest: Buffer.from(value, "base64") };
}

/** Milliseconds between two signs of life while a file is read. */
const SIGN_EVERY = 1_000;

/** A line for every second of work, so that neither the client nor a proxy takes it for dead; the result is the last one. */
function proof(
  { request, host: { machine } }: Asked,
  prove: (tell: (bytes: number) => void) => Promise<ProofLine>,
): StreamReply {
  const body = async function* (): Bytes {
    let read = 0;
    const result = prove((bytes) => (read += bytes)).catch((error: unknown): ProofLine => {
      if (error instanceof Problem) return { error: error.code, message: error.message };
      return { error: "failed", message: "it could not be read" };
    });
    const ended = new AbortController();
    const signal = AbortSignal.any([request.signal, ended.signal]);
    let last: ProofLine | undefined;
    while (last === undefined) {
      const tick = machine.wait(SIGN_EVERY, signal).then(
        () => undefined,
        () => undefined,
      );
      last = await Promise.race([result, tick]);
      if (last === undefined && request.signal.aborted) return;
      if (last === undefined || read > 0) yield Buffer.from(`${JSON.stringify({ checked: read })}\n`);
      read = 0;
    }
    ended.abort();
    yield Buffer.from(`${JSON.stringify(last)}\n`);
  };
  return {
    status: 200,
    // For nginx: lines are passed on as they come.
    headers: { ...TUS, "Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no" },
    body: body(),
  };
}

/** A file that has arrived, or its rest from an offset. */
async function file({ request, inbox, host: { files } }: Asked, name: string): Promise<StreamReply> {
  const { path, size } = await inbox.file(name);
  const headers = {
    ...TUS,
    "Content-Type": "application/octet-stream",
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
    "Accept-Ranges": "bytes",
  };
  const range = /^bytes=(\d{1,15})-$/.exec(request.header("range") ?? "")?.[1];
  const from = range === undefined ? 0 : Number(range);
  if (from > 0 && from >= size)
    return { status: 416, headers: { ...headers, "Content-Range": `bytes */${size}` } };
  return {
    status: range === undefined ? 200 : 206,
    headers: {
      ...headers,
      "Content-Length": `${size - from}`,
      ...(range === undefined ? {} : { "Content-Range": `bytes ${from}-${size - 1}/${size}` }),
    },
    body: files.read(path, { from, to: size, reuse: true }),
  };
}

/** Why a request failed, as a reply; undefined when there is nobody left to reply to. */
export function failureReply(error: unknown): StreamReply | undefined {
  if (error instanceof Problem)
    return jsonReply(error.status, { error: error.code, message: error.message }, RETRY[error.status]);
  if (error instanceof BrokenBody)
    return error.why === "ended"
      ? undefined
      : jsonReply(
          error.why === "slow" ? 408 : 503,
          {
            error: "failed",
            message: error.why === "slow" ? "the request was too slow" : "the server is being stopped",
          },
          { "Retry-After": "5" },
        );
  return jsonReply(500, { error: "failed", message: "the server could not do that; its log has the reason" });
}

const RETRY: Readonly<Record<number, Record<string, string>>> = {
  423: { "Retry-After": "5" },
  [CHECKSUM_MISMATCH]: {},
};
