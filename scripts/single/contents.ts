// What is inside the executable: the licences, word for word, and a bill of materials (CycloneDX 1.6).
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../../src/system/version.ts";
import { ROOT } from "./bundle.ts";

interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** As npm has checked it: "sha512-…". */
  readonly integrity: string;
  readonly text: string;
}

export interface NodeInside {
  readonly version: string;
  readonly sha256: string;
  /** The text of its LICENSE, which has those of the libraries inside it. */
  readonly license: string;
  /** Library → version. */
  readonly parts: Readonly<Record<string, string>>;
}

/** Of every package: name, version, licence. Throws for a package without a licence or a hash. */
export function readPackages(folders: readonly string[]): readonly Package[] {
  const { packages: locked } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { integrity?: string }>;
  };
  return folders.map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(ROOT, folder, "package.json"), "utf8"),
    ) as {
      name: string;
      version: string;
      license?: string;
    };
    const integrity = locked[folder]?.integrity;
    if (license === undefined || integrity === undefined)
      throw new Error(`${folder} has no licence, or package-lock.json has no hash of it`);
    return { name, version, license, integrity, text: licenceText(folder) };
  });
}

/** Some packages of a family have the text in another one's folder, or nowhere: then their README names the licence. */
function licenceText(folder: string): string {
  const files = readdirSync(join(ROOT, folder))
    .filter((name) => /^(licen[cs]e|notice|copying)/i.test(name))
    .sort();
  return files.map((name) => readFileSync(join(ROOT, folder, name), "utf8").trim()).join("\n\n");
}

export function licences(packages: readonly Package[], node: NodeInside): string {
  const own = readFileSync(join(ROOT, "LICENSE"), "utf8").trim();
  const list = packages.map(({ name, version, license }) => `  ${name} ${version}: ${license}`);
  const sections = [
    section(`synlift ${VERSION}`, own),
    ...packages.map(({ name, version, license, text }) =>
      section(
        `${name} ${version}`,
        text === "" ? `${license}. The package has no file with the text of its licence.` : text,
      ),
    ),
    section(`Node.js ${node.version}, and the libraries inside it`, node.license.trim()),
  ];
  const head = [`synlift ${VERSION} contains Node.js ${node.version} and these packages:`, "", ...list, ""];
  return `${head.join("\n")}\n${sections.join("\n")}`;
}

const section = (title: string, text: string) =>
  `${"=".repeat(78)}\n${title}\n${"=".repeat(78)}\n\n${text}\n`;

/** Without a date and a number of its own, so that the same contents make the same bill. */
export function billOfMaterials(packages: readonly Package[], node: NodeInside): string {
  const components = [
    {
      type: "application",
      "bom-ref": "node",
      name: "node",
      version: node.version,
      purl: `pkg:generic/node@${node.version}`,
      hashes: [{ alg: "SHA-256", content: node.sha256 }],
      licenses: [{ license: { id: "MIT" } }],
      components: Object.entries(node.parts)
        .filter(([name, version]) => name !== "node" && version !== "" && !/^(modules|napi)$/.test(name))
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([name, version]) => ({ type: "library", "bom-ref": `node/${name}`, name, version })),
    },
    ...packages.map(({ name, version, license, integrity }) => {
      const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
      const content = Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
      return {
        type: "library",
        "bom-ref": purl,
        name,
        version,
        purl,
        hashes: [{ alg: "SHA-512", content }],
        licenses: [/ OR | AND /.test(license) ? { expression: license } : { license: { id: license } }],
      };
    }),
  ];
  const bill = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: { type: "application", "bom-ref": "synlift", name: "synlift", version: VERSION },
    },
    components,
    dependencies: [{ ref: "synlift", dependsOn: components.map((component) => component["bom-ref"]) }],
  };
  return `${JSON.stringify(bill, undefined, 2)}\n`;
}
