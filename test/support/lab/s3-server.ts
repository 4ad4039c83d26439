import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { freePort, ServerProcess } from "./server-process.ts";
import { synapsePython } from "./synapse-server.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Where Python finds boto3, the storage provider for S3 and the server: for PYTHONPATH. */
export function s3Packages(): string {
  const folder = fileURLToPath(new URL("../../../.lab/s3", import.meta.url));
  if (!existsSync(`${folder}/complete`)) throw new Error('no server for S3 in the lab: run "npm run setup"');
  return folder;
}

/** A server that speaks S3, on loopback; what is in it is in its memory. It takes any credentials. */
export class S3Server {
  readonly url: string;
  readonly #process: ServerProcess;

  private constructor(url: string, server: ServerProcess) {
    this.url = url;
    this.#process = server;
  }

  /** `pageSize` is how many names it gives at once, when it is not asked for another number: 1000, as Amazon's. */
  static async start({ pageSize = 1000 } = {}): Promise<S3Server> {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = new ServerProcess({
      program: synapsePython(),
      args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
      folder: temporaryFolder("s3"),
      environment: {
        PYTHONPATH: s3Packages(),
        PYTHONDONTWRITEBYTECODE: "1",
        MOTO_S3_DEFAULT_MAX_KEYS: `${pageSize}`,
      },
    });
    try {
      await server.untilReady(async () => {
        try {
          return (await fetch(`${url}/moto-api/data.json`)).ok;
        } catch {
          return false;
        }
      }, 180);
    } catch (error) {
      server.kill();
      throw error;
    }
    return new S3Server(url, server);
  }

  async makeBucket(bucket: string): Promise<void> {
    await this.#ask("PUT", bucket);
  }

  async put(bucket: string, key: string, content: string | Uint8Array): Promise<void> {
    await this.#ask("PUT", `${bucket}/${key}`, content);
  }

  async remove(bucket: string, key: string): Promise<void> {
    await this.#ask("DELETE", `${bucket}/${key}`);
  }

  async stop(): Promise<void> {
    await this.#process.stop("SIGTERM", 5);
  }

  async #ask(method: string, path: string, content?: string | Uint8Array): Promise<void> {
    const body = content === undefined ? null : Buffer.from(content);
    const answer = await fetch(`${this.url}/${path}`, { method, body, headers: SIGNED });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
}

/** Nobody looks at the signature; without one the server takes nothing. */
const SIGNED = { authorization: "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/s3/aws4_request" };
