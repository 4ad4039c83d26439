import { createHash } from "node:crypto";
import { createServer } from "node:https";
import { request as ask } from "node:http";
import { startDnsServer } from "../dns-server.ts";
import { startMediaRepo } from "../media-repo-server.ts";
import type { KeyAndCertificate } from "../test-authority.ts";

// A program that test/hosts starts in a host's network: what a homeserver has around it in the world. Its one argument says what.

export interface BesideAHost {
  /** Name servers on port 53 of these addresses, which are also those of the zones. */
  readonly dns?: { readonly addresses: readonly string[]; readonly zones: Record<string, readonly string[]> };
  /** A web server on port 443 of this address, with the homeserver on 127.0.0.1:8008 behind it. */
  readonly https?: {
    readonly address: string;
    readonly certificate: KeyAndCertificate;
    /** By path. */
    readonly pages: Record<string, string>;
  };
  /** A stand-in for matrix-media-repo on 127.0.0.1:8000, with one upload. */
  readonly mediaRepo?: { readonly serverName: string; readonly token: string; readonly upload: string };
}

const { dns, https, mediaRepo } = JSON.parse(process.argv[2]!) as BesideAHost;

for (const address of dns?.addresses ?? []) await startDnsServer({ address, port: 53, zones: dns!.zones });

if (https) {
  const server = createServer(https.certificate, (request, response) => {
    const page = https.pages[request.url ?? ""];
    if (page !== undefined) {
      response.writeHead(200, { "content-type": "application/json", "access-control-allow-origin": "*" });
      response.end(page);
      return;
    }
    const { method, url = "", headers } = request;
    if (url.startsWith("/.well-known/")) {
      response.writeHead(404).end();
      return;
    }
    const behind = ask({ host: "127.0.0.1", port: 8008, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    behind.on("error", () => response.writeHead(503).end());
    request.pipe(behind);
  });
  await new Promise<void>((resolve) => server.listen(443, https.address, resolve));
}

if (mediaRepo) {
  const content = Buffer.from(mediaRepo.upload);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const { serverName, token } = mediaRepo;
  const uploads = { AbCdEfGh: { size: content.length, sha256, content } };
  const behaviour = {
    ...{ token, serverName, uploads },
    ...{ parts: {}, looks: 1, fault: "", breaks: undefined, instead: undefined },
  };
  await startMediaRepo({ after: () => undefined }, behaviour, 8000);
}

console.log("ready");
