import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInside } from "./base-system.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The command blocks of a page that contain some text; throws unless there is exactly one. */
export function commandIn(page: string, text: string): string {
  const blocks = [...readFileSync(join(ROOT, page), "utf8").matchAll(/^( *)```sh\n(.*?)^ *```$/gms)].map(
    ([, indent, block]) => block!.replaceAll(new RegExp(`^${indent!}`, "gm"), ""),
  );
  const found = blocks.filter((block) => block.includes(text));
  if (found.length === 1) return found[0]!;
  throw new Error(`${page} has ${found.length} command blocks with "${text}"`);
}

/** Where the clone lies on a host. */
const CLONE = "/opt/synlift";

/**
 * Runs the README's "Get the command" in a root file system that is not booted, in a clone of this project: the files that
 * git has, as they are here. With this machine's cache and registry of npm.
 */
export function getTheCommand(folder: string): string {
  mkdirSync(join(folder, CLONE), { recursive: true });
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
  });
  const archive = execFileSync(
    "tar",
    ["--create", "--null", "--files-from=-", "--ignore-failed-read", "--owner=0", "--group=0"],
    { cwd: ROOT, input: files, maxBuffer: 1024 ** 3, stdio: ["pipe", "pipe", "ignore"] },
  );
  execFileSync("tar", ["--extract", "-C", join(folder, CLONE)], { input: archive });
  const registry = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
  return runInside(folder, `cd ${CLONE} && ${commandIn("README.md", "npm ci --omit=dev")}`, [
    `--setenv=npm_config_registry=${registry}`,
    "--setenv=npm_config_cafile=/etc/ssl/certs/ca-certificates.crt",
    "--setenv=npm_config_update_notifier=false",
    "--setenv=NO_COLOR=1",
  ]);
}
