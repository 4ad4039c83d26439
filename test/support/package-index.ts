import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { synapsePython } from "./lab/synapse-server.ts";
import { temporaryFolder } from "./lab/temporary-folder.ts";

/** A small index of Python packages, as files. */
export interface PackageIndex {
  readonly folder: string;
  /** For pip: it looks there, and at no other index. */
  readonly env: Readonly<Record<string, string>>;
}

/** Each package has no file but one that lets Python find what the lab's Synapse consists of. */
const SCRIPT = `
import os, sys, zipfile
index, lab, *packages = sys.argv[1:]
for package in packages:
    name, version = package.split("==")
    folder = os.path.join(index, name)
    os.makedirs(folder)
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    files = {
        f"{plain}_of_the_lab.pth": lab + "\\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\nRequires-Dist: attrs; extra == 'none'\\nProvides-Extra: none\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = f"{info}/RECORD"
    files[record] = "".join(f"{path},,\\n" for path in [*files, record])
    wheel = f"{plain}-{version}-py3-none-any.whl"
    with open(os.path.join(folder, "index.html"), "w") as page:
        page.write(f'<!DOCTYPE html><html><body><a href="{wheel}">{wheel}</a></body></html>')
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
`;

/** Packages by name and version, "matrix-synapse==1.163.2"; each brings the lab's Synapse, whatever its name. */
export function makePackageIndex(packages: readonly string[]): PackageIndex {
  const folder = temporaryFolder("index");
  const python = synapsePython();
  const where = "import sysconfig; print(sysconfig.get_path('purelib'))";
  const lab = execFileSync(python, ["-c", where], { encoding: "utf8" }).trim();
  execFileSync(python, ["-c", SCRIPT, folder, lab, ...packages]);
  return {
    folder,
    env: { PIP_INDEX_URL: `file://${join(folder)}`, PIP_CONFIG_FILE: "/dev/null", PIP_NO_CACHE_DIR: "1" },
  };
}
