import type { Digest } from "../pipeline/digest.ts";
import { MigrationError } from "../errors.ts";
import type { Bytes } from "../system/bytes.ts";
import { NoAnswer } from "../system/http/no-answer.ts";
import type { StreamAnswer, StreamLine, StreamOrder } from "../system/http/stream-line.ts";
import type { System } from "../system/system.ts";
import type { FileStore } from "./file-store.ts";
import type { InvitationToken } from "./invitation.ts";
import type { Pace } from "./pace.ts";
import {
  CHECKSUM_MISMATCH,
  OFFSET_TYPE,
  problemSchema,
  type ProofLine,
  proofLineSchema,
  type ReceiverStatus,
  statusSchema,
  TUS_VERSION,
  uploadId,
} from "./receiver-format.ts";
import type { Destination, LocalFile } from "./remote.ts";
import { partialName, storeRemote } from "./store-remote.ts";

type Host = Pick<System, "files" | "streamLines">;

export interface ReceiverAddress {
  /** "https://upload.example.org/moves", without "/" at its end. */
  readonly url: string;
  readonly invitation: InvitationToken;
  /** PEM texts. */
  readonly authorities: readonly string[];
}

/** Bytes of a reply that is read whole. */
const REPLY_LIMIT = 16 * 1024 * 1024;

/** The folder that an invitation opens at a `synlift receive`. */
export function receiverDestination(
  { url, invitation, authorities }: ReceiverAddress,
  { files, streamLines }: Host,
  pace: Pace,
): Destination {
  const address = `${url} (${invitation.name})`;
  return {
    address,
    async open(signal) {
      const { origin, pathname } = new URL(url);
      const line = streamLines.to(origin, { authorities });
      const receiver = new Receiver(line, pathname.replace(/\/$/, ""), address, invitation.token);
      try {
        await receiver.status(signal);
      } catch (error) {
        line.close();
        // Nothing was there yet: whether it may pass, the first connection cannot know.
        if (error instanceof MigrationError && error.code === "transfer-failed")
          throw new MigrationError("connection-failed", error.message, { hint: error.hint, cause: error });
        throw error;
      }
      return storeRemote(receiverStore(receiver, files, pace), files);
    },
  };
}

/** A `synlift receive`, through one connection. */
class Receiver {
  readonly address: string;
  readonly #line: StreamLine;
  readonly #base: string;
  readonly #token: string;

  constructor(line: StreamLine, base: string, address: string, token: string) {
    this.address = address;
    this.#line = line;
    this.#base = base;
    this.#token = token;
  }

  /** Throws `invitation-refused`, `connection-failed`, `transfer-failed`. */
  async status(signal: AbortSignal): Promise<ReceiverStatus> {
    const answer = await this.request({ method: "GET", path: "/status", headers: {}, signal });
    const text = await textOf(answer);
    if (answer.status !== 200) throw this.refused(answer, text);
    const status = statusSchema.safeParse(jsonOf(text));
    if (!status.success)
      throw new MigrationError("connection-failed", `${this.address} is no synlift receive`, {
        hint: "check the address with the provider",
      });
    return status.data;
  }

  /** Sends a request below the address. Throws `transfer-failed` when no reply comes. */
  async request(order: StreamOrder): Promise<StreamAnswer> {
    try {
      return await this.#line.request({
        ...order,
        path: `${this.#base}${order.path}`,
        headers: { "Tus-Resumable": TUS_VERSION, Authorization: `Bearer ${this.#token}`, ...order.headers },
      });
    } catch (error) {
      throw this.broken(error);
    }
  }

  /** What a request or a body threw, as an expected error. */
  broken(error: unknown): unknown {
    if (!(error instanceof NoAnswer)) return error;
    const message = `${this.address}: ${error.message}`;
    if (error.kind === "certificate" || error.kind === "not-tls")
      return new MigrationError("connection-failed", message, {
        hint: "check the address with the provider; --ca trusts an authority of the provider's own",
        cause: error,
      });
    return new MigrationError("transfer-failed", message, {
      hint: "check the network and the address, then run the same command again: it continues where it stopped",
      cause: error,
    });
  }

  /** Why a request was refused, decided by its status and the reply's own code. */
  refused({ status, header }: Pick<StreamAnswer, "status" | "header">, text: string): MigrationError {
    const problem = problemSchema.safeParse(jsonOf(text));
    const { error, message } = problem.success
      ? problem.data
      : { error: undefined, message: `it replied with status ${status}` };
    const said = `${this.address}: ${message}`;
    switch (error) {
      case "invitation":
        return new MigrationError("invitation-refused", said, {
          hint: "ask the provider for a new invitation",
        });
      case "limit":
        return new MigrationError("invitation-refused", said, {
          hint: "ask the provider for an invitation with a greater limit",
        });
      case "disk-full":
        return new MigrationError("disk-full", said, {
          hint: "ask the provider for space, then run the same command again: what has arrived is kept",
        });
      case "manifest":
        return new MigrationError("bundle-mismatch", said, {
          hint: "send one bundle with one invitation; what belongs to another bundle has to be removed there first",
        });
      case "damaged":
        return new MigrationError("bundle-damaged", said, {
          hint: "send it again from the host that made the bundle",
        });
      case "name":
      case "request":
      case "too-large":
        return new MigrationError("bundle-mismatch", said, {
          hint: "use the same version of synlift on both sides",
        });
      case undefined:
      default:
        break;
    }
    if (
      error === undefined &&
      (status === 404 || status === 401 || status === 403 || (status >= 300 && status < 400))
    )
      return new MigrationError("connection-failed", said, {
        hint: `check the address with the provider: there is no synlift receive${header("location") === undefined ? "" : ", but a redirect"}`,
      });
    if (error === undefined && status === 413)
      return new MigrationError("connection-failed", said, {
        hint: "a web server in front of synlift receive limits the size of requests; nginx: client_max_body_size 0",
      });
    return new MigrationError("transfer-failed", said, {
      hint: "run the same command again: it continues where it stopped",
    });
  }

  close(): void {
    this.#line.close();
  }
}

function receiverStore(receiver: Receiver, files: Host["files"], pace: Pace): FileStore {
  const { address } = receiver;
  const upload = (id: string) => `/uploads/${encodeURIComponent(id)}`;
  const small = async (order: Omit<StreamOrder, "headers"> & { headers?: StreamOrder["headers"] }) => {
    const answer = await receiver.request({ headers: {}, ...order });
    return {
      answer,
      text: await textOf(answer).catch((error: unknown) => Promise.reject(receiver.broken(error) as Error)),
    };
  };
  /** Partial names of uploads that the receiver refused because of their hash. */
  const refused = new Set<string>();
  /** Why a file has no name there although it arrived. */
  const waits = new Map<string, string>();

  /** Makes an upload, or finds the one that is there. */
  const create = async ({ name, size, sha256 }: LocalFile, signal: AbortSignal) => {
    const pairs = { filename: name, sha256 };
    const metadata = Object.entries(pairs).map(
      ([key, value]) => `${key} ${Buffer.from(value).toString("base64")}`,
    );
    const headers = {
      "Upload-Length": `${size}`,
      "Upload-Metadata": metadata.join(","),
      "Content-Length": "0",
    };
    const { answer, text } = await small({ method: "POST", path: "/uploads", headers, signal });
    if (answer.status !== 201) throw receiver.refused(answer, text);
  };

  return {
    address,
    appends: true,

    async list(signal) {
      const status = await receiver.status(signal);
      return new Map(
        status.files.map((file) =>
          file.state === "arrived" ? [file.name, file.size] : [partialName(file), file.received],
        ),
      );
    },

    async write(name, file, { signal, moved }) {
      const { path, from, size } = file;
      refused.delete(name);
      await create(file, signal);
      if (from === size) return;
      const bytes = async function* () {
        for await (const chunk of files.read(path, { from, to: size, reuse: true })) {
          await pace(chunk.length, signal);
          yield chunk;
        }
      };
      const { answer, text } = await small({
        method: "PATCH",
        path: upload(uploadId(file)),
        headers: { "Upload-Offset": `${from}`, "Content-Type": OFFSET_TYPE },
        body: { length: size - from, bytes: bytes(), sent: moved },
        signal,
      });
      if (answer.status === CHECKSUM_MISMATCH) refused.add(name);
      else if (answer.status !== 204) throw receiver.refused(answer, text);
    },

    async *read(name, from, signal) {
      const answer = await receiver.request({
        method: "GET",
        path: `/files/${encodeURIComponent(name)}`,
        headers: from === 0 ? {} : { Range: `bytes=${from}-` },
        signal,
      });
      if (answer.status !== (from === 0 ? 200 : 206)) throw receiver.refused(answer, await textOf(answer));
      try {
        yield* answer.body;
      } catch (error) {
        throw receiver.broken(error);
      }
    },

    async digest(name, { sha256, name: final }, { signal, checked }) {
      const nothing: Digest = { size: 0, sha256: "" };
      if (refused.has(name)) return { ...nothing, proof: "hashed-there" };
      const path =
        name === final
          ? `/files/${encodeURIComponent(name)}/proof`
          : `${upload(uploadId({ name: final, sha256 }))}/proof`;
      const answer = await receiver.request({ method: "GET", path, headers: {}, signal });
      if (answer.status === 404 || answer.status === 410) {
        await textOf(answer);
        return { ...nothing, proof: "hashed-there" };
      }
      if (answer.status !== 200) throw receiver.refused(answer, await textOf(answer));
      let last: ProofLine | undefined;
      try {
        for await (const line of linesOf(answer.body)) {
          last = proofLineSchema.parse(JSON.parse(line));
          if ("checked" in last) checked(last.checked);
        }
      } catch (error) {
        throw receiver.broken(error);
      }
      if (last === undefined || "checked" in last)
        throw new MigrationError("transfer-failed", `${address}: the check of ${final} was interrupted`);
      if ("error" in last) {
        if (last.error === "hash" || last.error === "not-found" || last.error === "damaged")
          return { ...nothing, proof: "hashed-there" };
        throw receiver.refused({ status: 200, header: () => undefined }, JSON.stringify(last));
      }
      waits.delete(name);
      if (last.state !== "arrived") waits.set(name, last.message ?? `${final} waits`);
      return { size: last.size, sha256: last.sha256, proof: "hashed-there" };
    },

    rename(from) {
      // The receiver itself gives the name once it has compared the hash.
      const why = waits.get(from);
      if (why === undefined) return Promise.resolve();
      return Promise.reject(
        new MigrationError("bundle-incomplete", `${address}: ${why}`, {
          hint: "send the bundle again: files whose hash there differs are replaced",
        }),
      );
    },

    async remove(name, signal) {
      const id = /^\.(.*)\.partial$/.exec(name)?.[1];
      const path = id === undefined ? `/files/${encodeURIComponent(name)}` : upload(id);
      const { answer, text } = await small({ method: "DELETE", path, signal });
      if (answer.status !== 204 && answer.status !== 404) throw receiver.refused(answer, text);
    },

    close() {
      receiver.close();
      return Promise.resolve();
    },
  };
}

async function textOf({ body }: Pick<StreamAnswer, "body">): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > REPLY_LIMIT) throw new NoAnswer("too-large", `the reply has more than ${REPLY_LIMIT} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* linesOf(body: Bytes): AsyncIterable<string> {
  let rest = "";
  for await (const chunk of body) {
    const lines = `${rest}${Buffer.from(chunk).toString()}`.split("\n");
    rest = lines.pop()!;
    if (rest.length > 65_536) throw new NoAnswer("too-large", "a line of the reply is too long");
    yield* lines.filter(Boolean);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
