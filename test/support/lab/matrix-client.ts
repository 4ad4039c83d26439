import { createHmac, randomUUID } from "node:crypto";

/** A log-in: what a client keeps on disk, and what must go on working after a move. */
export interface Session {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

export interface Person {
  readonly name: string;
  readonly password: string;
  readonly admin?: boolean;
}

export interface Download {
  readonly bytes: Uint8Array;
  readonly type: string;
  /** The Content-Disposition header, in which the file's name stands. */
  readonly disposition: string;
}

export interface Message {
  readonly id: string;
  readonly type: string;
  readonly sender: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** What the server answered when it did not do what it was asked. */
export class MatrixRefusal extends Error {
  readonly status: number;
  readonly errcode: string;

  constructor(request: string, status: number, body: Uint8Array) {
    const text = new TextDecoder().decode(body).slice(0, 300);
    super(`${request}: ${status} ${text}`);
    this.name = "MatrixRefusal";
    this.status = status;
    this.errcode = /"errcode":\s*"([A-Z_]+)"/.exec(text)?.[1] ?? "";
  }
}

/** The few calls that the tests make, as one person on one server. */
export class MatrixClient {
  readonly baseUrl: string;
  readonly session: Session;

  constructor(baseUrl: string, session: Session) {
    this.baseUrl = baseUrl;
    this.session = session;
  }

  /** The same session, kept, at the address of another server. */
  at(baseUrl: string): MatrixClient {
    return new MatrixClient(baseUrl, this.session);
  }

  whoami(): Promise<{ user_id: string; device_id: string }> {
    return this.call("GET", "/_matrix/client/v3/account/whoami");
  }

  async createRoom(options: Readonly<Record<string, unknown>>): Promise<string> {
    const { room_id: id } = await this.call<{ room_id: string }>(
      "POST",
      "/_matrix/client/v3/createRoom",
      options,
    );
    return id;
  }

  async join(roomIdOrAlias: string): Promise<string> {
    const path = `/_matrix/client/v3/join/${encodeURIComponent(roomIdOrAlias)}`;
    return (await this.call<{ room_id: string }>("POST", path, {})).room_id;
  }

  /** Sends a text, or any other content of a message; hands back the event's id. */
  async send(roomId: string, content: string | Readonly<Record<string, unknown>>): Promise<string> {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${randomUUID()}`;
    const body = typeof content === "string" ? { msgtype: "m.text", body: content } : content;
    return (await this.call<{ event_id: string }>("PUT", path, body)).event_id;
  }

  /** The last hundred events of a room, oldest first. */
  async events(roomId: string): Promise<Message[]> {
    type Chunk = {
      chunk: { event_id: string; type: string; sender: string; content: Record<string, unknown> }[];
    };
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=100`;
    const { chunk } = await this.call<Chunk>("GET", path);
    return chunk.reverse().map(({ event_id: id, type, sender, content }) => ({ id, type, sender, content }));
  }

  /** The bodies of the messages among them, as this person can read them without keys. */
  async messages(roomId: string): Promise<string[]> {
    const events = await this.events(roomId);
    return events.flatMap(({ type, content }) => (type === "m.room.message" ? [String(content.body)] : []));
  }

  /** Hands back the mxc address. */
  async upload(bytes: Uint8Array, type: string, name: string): Promise<string> {
    const path = `/_matrix/media/v3/upload?filename=${encodeURIComponent(name)}`;
    const answer = await this.#fetch("POST", path, { body: bytes, type });
    return (JSON.parse(new TextDecoder().decode(answer.bytes)) as { content_uri: string }).content_uri;
  }

  download(mxc: string): Promise<Download> {
    return this.#fetch("GET", `/_matrix/client/v1/media/download/${mxc.slice("mxc://".length)}`);
  }

  thumbnail(mxc: string, size: { width: number; height: number }): Promise<Download> {
    const query = `width=${size.width}&height=${size.height}&method=scale`;
    return this.#fetch("GET", `/_matrix/client/v1/media/thumbnail/${mxc.slice("mxc://".length)}?${query}`);
  }

  /** Any other call, with JSON both ways. */
  async call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const sent = body && { body: new TextEncoder().encode(JSON.stringify(body)), type: "application/json" };
    const { bytes } = await this.#fetch(method, path, sent);
    return JSON.parse(new TextDecoder().decode(bytes)) as Answer;
  }

  #fetch(method: string, path: string, sent?: { body: Uint8Array; type: string }): Promise<Download> {
    return ask(method, this.baseUrl, path, { ...sent, accessToken: this.session.accessToken });
  }
}

/** Makes an account as `register_new_matrix_user` does, with the secret of homeserver.yaml. */
export async function register(baseUrl: string, sharedSecret: string, person: Person): Promise<MatrixClient> {
  const path = "/_synapse/admin/v1/register";
  const { name, password, admin = false } = person;
  const { nonce } = await askJson<{ nonce: string }>("GET", baseUrl, path);
  const proof = [nonce, name, password, admin ? "admin" : "notadmin"].join("\0");
  const mac = createHmac("sha1", sharedSecret).update(proof).digest("hex");
  return signedIn(
    baseUrl,
    await askJson("POST", baseUrl, path, { nonce, username: name, password, admin, mac }),
  );
}

export async function logIn(baseUrl: string, { name, password }: Person): Promise<MatrixClient> {
  const identifier = { type: "m.id.user", user: name };
  const answer = await askJson<LogIn>("POST", baseUrl, "/_matrix/client/v3/login", {
    type: "m.login.password",
    identifier,
    password,
  });
  return signedIn(baseUrl, answer);
}

interface LogIn {
  readonly user_id: string;
  readonly device_id: string;
  readonly access_token: string;
}

function signedIn(baseUrl: string, answer: LogIn): MatrixClient {
  const { user_id: userId, device_id: deviceId, access_token: accessToken } = answer;
  return new MatrixClient(baseUrl, { userId, deviceId, accessToken });
}

async function askJson<Answer>(
  method: string,
  baseUrl: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const sent = body && { body: new TextEncoder().encode(JSON.stringify(body)), type: "application/json" };
  const { bytes } = await ask(method, baseUrl, path, sent);
  return JSON.parse(new TextDecoder().decode(bytes)) as Answer;
}

interface Sent {
  readonly body?: Uint8Array;
  readonly type?: string;
  readonly accessToken?: string;
}

async function ask(method: string, baseUrl: string, path: string, sent: Sent = {}): Promise<Download> {
  const headers = new Headers();
  if (sent.type !== undefined) headers.set("Content-Type", sent.type);
  if (sent.accessToken !== undefined) headers.set("Authorization", `Bearer ${sent.accessToken}`);
  const body = sent.body ? Uint8Array.from(sent.body) : null;
  const answer = await fetch(baseUrl + path, { method, headers, body, signal: AbortSignal.timeout(180_000) });
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (!answer.ok) throw new MatrixRefusal(`${method} ${path}`, answer.status, bytes);
  return {
    bytes,
    type: answer.headers.get("Content-Type") ?? "",
    disposition: answer.headers.get("Content-Disposition") ?? "",
  };
}
