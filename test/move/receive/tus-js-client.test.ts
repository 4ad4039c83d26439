import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import tus from "tus-js-client";
import { noise } from "../../support/bytes.ts";
import { startReceiver } from "../../support/receiver.ts";
import { RawClient, sha256Of } from "../../support/receiver-client.ts";

test("the reference client of the protocol sends a file, is broken off, and goes on where it was", async (t) => {
  const server = await startReceiver({}, t);
  const { token, name } = await server.invite("example.org");
  const bytes = noise(300_000);
  const options = {
    endpoint: `${server.origin}/uploads`,
    chunkSize: 50_000,
    retryDelays: null,
    headers: { Authorization: `Bearer ${token}` },
    metadata: { filename: "x.part-aa", sha256: sha256Of(bytes) },
  };
  const uploadUrl = await new Promise<string>((resolve, reject) => {
    const upload = new tus.Upload(Buffer.from(bytes), {
      ...options,
      onError: reject,
      onChunkComplete: (_size, accepted) => {
        if (accepted < 100_000) return;
        void upload.abort().then(() => {
          resolve(upload.url!);
        }, reject);
      },
    });
    upload.start();
  });
  const client = new RawClient(server.origin, token);
  const received = (await client.status()).files[0]!.received;
  assert.ok(received >= 100_000 && received < 300_000, `${received}`);
  const offsets: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const upload = new tus.Upload(Buffer.from(bytes), {
      ...options,
      uploadUrl,
      onError: reject,
      onProgress: (sent) => offsets.push(sent),
      onSuccess: () => {
        resolve();
      },
    });
    upload.start();
  });
  assert.ok(offsets[0]! >= received, "nothing is sent twice");
  assert.equal(
    (await client.proof(`/uploads/x.part-aa.${sha256Of(bytes).slice(0, 24)}/proof`))["state"],
    "arrived",
  );
  assert.ok(readFileSync(join(server.folder, name, "x.part-aa")).equals(bytes));
});
