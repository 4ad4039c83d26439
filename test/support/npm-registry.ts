import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export interface NpmRegistry extends AsyncDisposable {
  readonly url: string;
  /** Names of the packages that were fetched. */
  readonly fetched: Set<string>;
}

interface Described {
  readonly name: string;
  readonly version: string;
}

/** A registry on loopback that has the installed packages of these folders, and no others. */
export async function startNpmRegistry(folders: readonly string[]): Promise<NpmRegistry> {
  const fetched = new Set<string>();
  const packages = folders.map((folder) => ({
    folder,
    described: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Described,
  }));
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "").slice(1);
    const [name, tarball] = path.split("/-/");
    const versions = packages.filter(({ described }) => described.name === name);
    const [wanted] = tarball === undefined ? [] : versions.filter((one) => one.described.version === tarball);
    if (wanted) {
      fetched.add(wanted.described.name);
      const args = ["--create", "--gzip", "--transform", "s,^\\.,package,", "-C", wanted.folder];
      response.end(execFileSync("tar", [...args, "--exclude=./node_modules", "."], { maxBuffer: 1e9 }));
      return;
    }
    if (versions.length === 0 || tarball !== undefined) {
      response.writeHead(404).end("{}");
      return;
    }
    const described = versions.map((one) => [
      one.described.version,
      { ...one.described, dist: { tarball: `${url}/${name}/-/${one.described.version}` } },
    ]);
    const latest = versions[0]!.described.version;
    response.end(
      JSON.stringify({ name, "dist-tags": { latest }, versions: Object.fromEntries(described) as object }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    fetched,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
