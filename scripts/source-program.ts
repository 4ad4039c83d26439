import { join } from "node:path";
import ts from "typescript";

/** All of src/ below a folder, as TypeScript's own checker sees it. Reading it takes some seconds. */
export class SourceProgram {
  readonly files: readonly ts.SourceFile[];
  readonly checker: ts.TypeChecker;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path)) as {
      config: object;
    };
    const { options } = ts.parseJsonConfigFileContent({ ...config, include: ["src"] }, ts.sys, root);
    const program = ts.createProgram([join(root, "src/main.ts")], options);
    this.checker = program.getTypeChecker();
    this.files = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(join(root, "src")));
  }

  /** By its path below the folder. Throws when there is none. */
  file(path: string): ts.SourceFile {
    const found = this.files.find(({ fileName }) => fileName === join(this.#root, path));
    if (!found) throw new Error(`there is no ${path}`);
    return found;
  }
}
