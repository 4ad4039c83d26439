import { z } from "zod";
import { type ErrorCode, MigrationError } from "../../../errors.ts";
import type { HttpAnswer, HttpDownload } from "../../../system/http/http.ts";
import { NoAnswer } from "../../../system/http/no-answer.ts";
import type { System } from "../../../system/system.ts";
import type { MediaRepoUsage } from "../facts.ts";
import { type HeldUploads, heldUploadsSchema, uploadsOf } from "./held.ts";
import { describeFault, describeMediaRepo, HOST, type MediaRepo, usageIn } from "./usage.ts";

/** One file of an export, as its metadata has it. */
export const partSchema = z.object({
  index: z.int().nonnegative(),
  size: z.int().nonnegative(),
  name: z.string(),
});

export type ExportPart = z.infer<typeof partSchema>;

/** What names an export. Whoever knows it may fetch the export without a token: it is a secret. */
export const exportIdSchema = z.string().regex(/^[\w.-]{1,255}$/);

const startedSchema = z.object({ export_id: exportIdSchema, task_id: z.int().nonnegative() });
const metadataSchema = z.object({
  entity: z.string(),
  parts: z
    .array(partSchema)
    .nullish()
    .transform((parts) => parts ?? []),
});
const taskSchema = z.object({
  is_finished: z.boolean().nullish(),
  error_message: z.string().nullish(),
});

/** Below the address of all that matrix-media-repo serves. */
const ADMIN = "/media/unstable/admin/";

/** Milliseconds: for an answer, and between two chunks of a part, which may come out of a slow bucket. */
const TIMEOUT = 60_000;

/** Bytes of an answer: the metadata of some hundred thousand parts. */
const LIMIT = 32 * 1024 * 1024;

/** Bytes of the listing of all uploads, which comes in one piece of some 400 bytes each: a million of them. */
const LISTING_LIMIT = 480 * 1024 * 1024;

/** Milliseconds for that listing, which is read from its database first. */
const LISTING_TIMEOUT = 600_000;

/** Milliseconds. */
interface Patience {
  /** Between two tries, at first. */
  readonly pause: number;
  /** After which 429 is the answer. */
  readonly total: number;
}

/** matrix-media-repo accepts five requests a second, and returns 429 for more. */
const FOR_REQUESTS: Patience = { pause: 1_000, total: 30_000 };

/** Milliseconds between two tries, at most. */
const LONGEST_PAUSE = 15_000;

/** Bytes a minute that it hands out when the capacity for downloads is used up (rateLimit.buckets.downloads, its default). */
const DRAINED = 5 * 1024 * 1024;

/** After so long even its usual limit lets a download of this size through, if it ever does. */
const forDownload = (size: number): Patience => ({
  pause: 1_000,
  total: 5 * 60_000 + (size / DRAINED) * 60_000,
});

/** Bytes of an answer that is an error. */
const ERROR_LIMIT = 64 * 1024;

/**
 * Whether its limit on downloaded bytes was reached: it answers that with status 500 (seen with v1.3.7 and its main
 * branch at 84bcb70), and only the errcode tells it from a damaged file.
 */
async function saysTooMany({ body }: HttpDownload): Promise<boolean> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > ERROR_LIMIT) return false;
    chunks.push(chunk);
  }
  try {
    return errorSchema.parse(JSON.parse(new TextDecoder().decode(Buffer.concat(chunks)))).errcode === LIMITED;
  } catch {
    return false;
  }
}

const LIMITED = "M_LIMIT_EXCEEDED";
const errorSchema = z.object({ errcode: z.string() });

/** What came of asking for one upload: nothing is there, and why, or all of it was handed over. */
export type UploadAnswer = { readonly kind: "given" } | { readonly kind: "refused"; readonly why: string };

/**
 * The part of matrix-media-repo's API that makes and hands out exports, lists uploads and hands out each (its
 * docs/admin.md, api/custom and api/r0/download.go).
 * Everything throws `connection-failed` when there was no usable answer, `permission-denied` when the token is not an
 * administrator's, `bad-usage` when the name is not one that it serves, and never shows the token.
 */
export class MediaRepoApi {
  readonly where: string;
  readonly #root: string;
  readonly #repo: MediaRepo;
  readonly #serverName: string;
  readonly #system: Pick<System, "http" | "machine" | "signal">;
  /** Whether somebody was told that it limits downloads. */
  #toldOfLimit = false;
  /** It serves the names in its configuration alone, and goes by the Host header. */
  #host: { readonly host?: string } = {};

  constructor(repo: MediaRepo, serverName: string, system: Pick<System, "http" | "machine" | "signal">) {
    const url = new URL(repo.url);
    this.#root = `${url.origin}${url.pathname.replace(/\/$/, "")}/_matrix`;
    this.where = describeMediaRepo(url);
    this.#repo = repo;
    this.#serverName = serverName;
    this.#system = system;
  }

  async usage(): Promise<MediaRepoUsage> {
    const answer = await this.#ask("get", `usage/${encodeURIComponent(this.#serverName)}`);
    const usage = answer.status === 200 ? usageIn(answer) : undefined;
    if (usage) return usage;
    throw this.#fault(answer);
  }

  /** Each call begins another export. */
  async start(): Promise<{ exportId: string; taskId: number }> {
    // With addresses in a bucket instead, the archive would be of use to another matrix-media-repo alone.
    const path = `server/${encodeURIComponent(this.#serverName)}/export?s3_urls=false`;
    const answer = await this.#ask("post", path);
    const { export_id: exportId, task_id: taskId } = this.#read(answer, startedSchema);
    return { exportId, taskId };
  }

  /** Undefined when it knows no such task. */
  async task(taskId: number): Promise<{ finished: boolean; fault: string } | undefined> {
    const answer = await this.#ask("get", `tasks/${taskId}`);
    if (answer.status === 404) return undefined;
    const { is_finished: finished, error_message: fault } = this.#read(answer, taskSchema);
    return { finished: finished === true, fault: this.#words(fault ?? "") };
  }

  /** The files that are made so far, in their order; none of an export that it does not know. */
  async parts(exportId: string): Promise<readonly ExportPart[]> {
    const answer = await this.#ask("get", `export/${exportId}/metadata`);
    if (answer.status === 404) return [];
    const { entity, parts } = this.#read(answer, metadataSchema);
    if (entity !== "" && entity !== this.#serverName)
      throw new MigrationError("connection-failed", `${this.where} returned an export of another entity`, {
        hint: "check the URL, and remove the folder to start over",
      });
    return parts.toSorted((one, other) => one.index - other.index);
  }

  /** Hands one file to `take` as it comes; what that throws is thrown. */
  async part(
    exportId: string,
    { index, name }: ExportPart,
    take: (answer: HttpDownload) => Promise<void>,
  ): Promise<void> {
    const { http } = this.#system;
    const url = `${this.#root}${ADMIN}export/${exportId}/part/${index}`;
    const { status } = await this.#patiently(() =>
      http.download(url, this.#options(), async (answer) => {
        if (answer.status === 200) await take(answer);
        return answer;
      }),
    );
    if (status === 404)
      throw new MigrationError("connection-failed", `${this.where} has no ${name} of the export anymore`, {
        hint: "the export was deleted there: remove the folder and run the same command again",
      });
    if (status !== 200) throw this.#fault({ status });
  }

  /** All uploads of the server, quarantined ones too, and none that is only reserved. */
  async uploads(): Promise<HeldUploads> {
    const path = `usage/${encodeURIComponent(this.#serverName)}/uploads`;
    const answer = await this.#ask("get", path, { limit: LISTING_LIMIT, timeout: LISTING_TIMEOUT });
    return uploadsOf(this.#serverName, this.#read(answer, heldUploadsSchema));
  }

  /**
   * Hands one upload to `take` as it comes; what that throws is thrown. `limited` is called once in all when it answers
   * that there were too many downloads: each is then tried for as long as its usual limit takes to let it through.
   */
  async upload(
    mediaId: string,
    size: number,
    take: (answer: HttpDownload) => Promise<void>,
    limited: () => void,
  ): Promise<UploadAnswer> {
    const { http } = this.#system;
    const name = `download/${encodeURIComponent(this.#serverName)}/${encodeURIComponent(mediaId)}`;
    const askAt = (path: string) =>
      this.#patiently(
        () =>
          http.download(`${this.#root}${path}`, this.#options(), async (answer) => {
            if (answer.status === 200) await take(answer);
            else if (await saysTooMany(answer)) return { status: 429 };
            return { status: answer.status };
          }),
        forDownload(size),
        () => {
          if (!this.#toldOfLimit) limited();
          this.#toldOfLimit = true;
        },
      );
    let { status } = await askAt(`/media/v3/${name}?allow_remote=false`);
    // Where it is only handed out with authentication, by the address that came with it.
    if (status === 404) ({ status } = await askAt(`/client/v1/media/${name}`));
    switch (status) {
      case 200:
        return { kind: "given" };
      case 404:
        return { kind: "refused", why: "matrix-media-repo does not find it" };
      case 429:
        return { kind: "refused", why: "its limit of downloads (rateLimit) does not let it through" };
      case 401:
        throw this.#fault({ status });
      default:
        return { kind: "refused", why: `matrix-media-repo answered with status ${status}` };
    }
  }

  #ask(
    method: "get" | "post",
    path: string,
    more: { readonly limit: number; readonly timeout?: number } = { limit: LIMIT },
  ): Promise<HttpAnswer> {
    const { http } = this.#system;
    return this.#patiently(() =>
      http[method](`${this.#root}${ADMIN}${path}`, { ...this.#options(), ...more }),
    );
  }

  async #patiently<Answer extends { readonly status: number }>(
    ask: () => Promise<Answer>,
    { pause, total }: Patience = FOR_REQUESTS,
    limited: () => void = () => undefined,
  ): Promise<Answer> {
    const { machine, signal } = this.#system;
    for (let waited = 0; ;) {
      const answer = await ask().catch((error: unknown) => {
        if (!(error instanceof NoAnswer)) throw error;
        throw new MigrationError(
          "connection-failed",
          `${this.where} gave no complete response: ${error.message}`,
          {
            hint: "run the same command again: it continues where it stopped",
            cause: error,
          },
        );
      });
      const byName = answer.status === 502 && this.#host.host === undefined && HOST.test(this.#serverName);
      if (byName) this.#host = { host: this.#serverName };
      else if (answer.status !== 429 || waited >= total) return answer;
      else {
        const next = Math.min(pause + waited / 4, LONGEST_PAUSE);
        if (waited > FOR_REQUESTS.pause) limited();
        waited += next;
        await machine.wait(next, signal);
      }
    }
  }

  #options() {
    const headers = { authorization: `Bearer ${this.#repo.token}`, ...this.#host };
    return { headers, timeout: TIMEOUT, signal: this.#system.signal };
  }

  #read<Schema extends z.ZodType>(answer: HttpAnswer, schema: Schema): z.infer<Schema> {
    if (answer.status !== 200) throw this.#fault(answer);
    try {
      return schema.parse(JSON.parse(new TextDecoder().decode(answer.body)));
    } catch {
      throw this.#fault(answer);
    }
  }

  #fault(answer: { readonly status: number; readonly body?: unknown }): MigrationError {
    const { status, body } = answer;
    // Only the text tells these two apart: both have status 400, errcode M_UNKNOWN and mr_errcode M_BAD_REQUEST (its
    // api/custom/exports.go and api/_responses/errors.go). It is never translated.
    const words = body instanceof Uint8Array ? new TextDecoder().decode(body) : "";
    if (status === 400 && words.includes("archiving"))
      return new MigrationError("connection-failed", `exports are disabled in ${this.where}`, {
        hint: "set archiving.enabled to true in its configuration, and check that a datastore there accepts the kind `archives`",
      });
    // Its response to a user who is not an administrator.
    const refused = status === 400 && words.includes("another server");
    const [sentence, hint] = describeFault({ status: refused ? 403 : status }, this.#serverName);
    const code: Partial<Record<number, ErrorCode>> = {
      401: "permission-denied",
      403: "permission-denied",
      502: "bad-usage",
    };
    return new MigrationError(
      code[refused ? 403 : status] ?? "connection-failed",
      `${this.where} ${sentence}`,
      {
        hint,
      },
    );
  }

  /** Of somebody else, on one line. */
  #words = (text: string) =>
    text
      .replaceAll(this.#repo.token, "…")
      .replaceAll(/[\p{C}\s]+/gu, " ")
      .trim()
      .slice(0, 200);
}
