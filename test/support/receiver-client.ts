import { createHash } from "node:crypto";
import { connect } from "node:net";
import { uploadId } from "../../src/transfer/receiver-format.ts";
import type { ReceiverStatus } from "../../src/transfer/receiver-format.ts";

/** Requests of the tus protocol, written out: what a client of somebody else would send. */
export class RawClient {
  readonly #origin: string;
  readonly #token: string | undefined;

  constructor(origin: string, token: string | undefined) {
    this.#origin = origin;
    this.#token = token;
  }

  headers(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      "Tus-Resumable": "1.0.0",
      ...(this.#token === undefined ? {} : { Authorization: `Bearer ${this.#token}` }),
      ...more,
    };
  }

  ask(
    method: string,
    path: string,
    more: Readonly<Record<string, string>> = {},
    body?: Uint8Array,
  ): Promise<Response> {
    return fetch(`${this.#origin}${path}`, {
      method,
      headers: this.headers(more),
      ...(body ? { body: Buffer.from(body) } : {}),
    });
  }

  async status(): Promise<ReceiverStatus> {
    return (await (await this.ask("GET", "/status")).json()) as ReceiverStatus;
  }

  announce(name: string, size: number | string, sha256: string): Promise<Response> {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    return this.ask("POST", "/uploads", {
      "Upload-Length": `${size}`,
      "Upload-Metadata": `filename ${base64(name)},sha256 ${base64(sha256)}`,
    });
  }

  piece(
    id: string,
    from: number,
    bytes: Uint8Array,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const headers = {
      "Upload-Offset": `${from}`,
      "Content-Type": "application/offset+octet-stream",
      ...more,
    };
    return this.ask("PATCH", `/uploads/${id}`, headers, bytes);
  }

  /** A whole file, and the comparison after it: the last line of the proof. */
  async put(name: string, bytes: Uint8Array): Promise<Record<string, unknown>> {
    const sha256 = sha256Of(bytes);
    const announced = await this.announce(name, bytes.length, sha256);
    if (announced.status !== 201) throw new Error(`${announced.status}: ${await announced.text()}`);
    const id = uploadId({ name, sha256 });
    const sent = bytes.length === 0 ? announced : await this.piece(id, 0, bytes);
    if (!sent.ok) throw new Error(`${sent.status}: ${await sent.text()}`);
    return this.proof(`/uploads/${id}/proof`);
  }

  async proof(path: string): Promise<Record<string, unknown>> {
    const text = await (await this.ask("GET", path)).text();
    return JSON.parse(text.trim().split("\n").at(-1)!) as Record<string, unknown>;
  }
}

export const sha256Of = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");

/** Everything that comes back over one connection, until the server ends it. `keep` leaves our side open. */
export function overSocket(
  port: number,
  text: string,
  then?: (write: (more: string) => void) => void,
): Promise<string> {
  return new Promise((resolve) => {
    let said = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(text);
      then?.((more) => socket.write(more));
    });
    socket.on("data", (chunk) => (said += chunk.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      resolve(said);
    });
  });
}
