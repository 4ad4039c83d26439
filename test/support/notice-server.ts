import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: { readonly user_id?: string; readonly content?: Readonly<Record<string, unknown>> };
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
}

/** As much of a homeserver as answers to an administrator who sends notices; what it says to each can be set. */
export class NoticeHost {
  readonly asked: Asked[] = [];
  readonly #server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const asked: Asked = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: (text === "" ? {} : JSON.parse(text)) as Asked["body"],
      };
      this.asked.push(asked);
      const { status, headers = {}, body = {} } = this.answer(asked) ?? usual(asked);
      response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(body));
    });
  });

  /** What it says in the place of what it usually says; set by the test. */
  answer: (asked: Asked) => Reply | undefined = () => undefined;

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** User ids of the notices that came, in their order, each as often as it came. */
  get notices(): string[] {
    return this.asked.flatMap(({ method, body }) => (method === "PUT" ? [body.user_id!] : []));
  }
}

export const TOKEN = "syt_an-administrators-token";

function usual({ method, path, headers }: Asked): Reply {
  if (headers.authorization !== `Bearer ${TOKEN}`)
    return { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } };
  if (path === "/_matrix/client/v3/account/whoami")
    return { status: 200, body: { user_id: "@admin:example.org" } };
  if (path === "/_synapse/admin/v2/users/%40admin%3Aexample.org")
    return { status: 200, body: { admin: true } };
  if (method === "PUT") return { status: 200, body: { event_id: "$sent" } };
  return { status: 404, body: { errcode: "M_UNRECOGNIZED" } };
}
