import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInside } from "./base-system.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** The command blocks of a page, in its order, without the indentation that they have in a list. */
export function blocksIn(page: string): readonly string[] {
  return [...readFileSync(join(ROOT, page), "utf8").matchAll(/^( *)```sh\n(.*?)^ *```$/gms)].map(
    ([, indent, block]) => block!.replaceAll(new RegExp(`^${indent!}`, "gm"), ""),
  );
}

/** The first command block of a page that contains some text; throws when there is none. */
export function commandIn(page: string, text: string): string {
  const found = blocksIn(page).find((block) => block.includes(text));
  if (found === undefined) throw new Error(`${page} has no command block with "${text}"`);
  return found;
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
