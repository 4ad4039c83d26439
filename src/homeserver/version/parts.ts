import { z } from "zod";
import { MigrationError } from "../../errors.ts";
import type { Finding } from "../../report/finding.ts";
import type { Account } from "../../system/machine.ts";
import type { Programs } from "../../system/programs/programs.ts";
import type { PythonPart } from "../config/checks/modules.ts";

export interface PartsQuery {
  readonly python: string;
  readonly parts: readonly PythonPart[];
  /** The account that Synapse runs as, whose code these parts may be; undefined for that of this process. */
  readonly account: Account | undefined;
  /** Where Synapse runs: Python finds modules there, too. */
  readonly folder: string | undefined;
}

/** What could not be imported: what needs it, and why. Empty when all of it is there. */
export type MissingParts = readonly { readonly neededFor: string; readonly why: string }[];

/**
 * Imports Synapse's main process and everything else that it imports for its configuration, in the Python that will run it.
 * Starts no server and writes nothing. Throws a `MigrationError` when that Python itself fails.
 */
export async function findMissingParts(
  { python, parts, account, folder }: PartsQuery,
  programs: Programs,
): Promise<MissingParts> {
  const output = await programs.run(
    {
      name: python,
      args: ["-B", "-c", SCRIPT],
      timeout: TIMEOUT_MS,
      ...(account ? { account } : {}),
      ...(folder === undefined ? {} : { folder }),
    },
    JSON.stringify(parts.map(({ kind, name, neededFor }) => [kind, name, neededFor])),
  );
  const answer = output.slice(output.lastIndexOf(MARK) + MARK.length);
  try {
    return missingSchema.parse(JSON.parse(answer));
  } catch (error) {
    throw new MigrationError("program-failed", `${python} did not report what it can import`, {
      cause: error,
    });
  }
}

/** Milliseconds: importing takes some seconds on a slow disk. */
const TIMEOUT_MS = 120_000;

/** Control characters are not shown on a terminal, and a long message is of no use in a sentence. */
const missingSchema = z.array(
  z.object({
    neededFor: z.string(),
    why: z.string().transform((why) => why.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 300)),
  }),
);

/** Before the answer: modules may print while they are imported. */
const MARK = "synlift-answer:";

/**
 * `check_requirements` (synapse/util/check_dependencies.py) is what Synapse itself asks when it reads a setting that needs an
 * extra, but for a database driver and for LDAP; it knows versions, but does not import. It raises ValueError for an extra that this version does not have.
 */
const SCRIPT = `
import importlib, json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
IMPORTS = {
    "postgres": ["psycopg2"], "redis": ["txredisapi"], "oidc": ["authlib"], "jwt": ["authlib"], "saml2": ["saml2"],
    "url-preview": ["lxml"], "opentracing": ["opentracing", "jaeger_client"], "sentry": ["sentry_sdk"],
    "cache-memory": ["pympler"], "matrix-synapse-ldap3": ["ldap_auth_provider"],
}
missing = []
def attempt(needed_for, act):
    try:
        act()
        return True
    except BaseException as error:
        missing.append({"neededFor": needed_for, "why": type(error).__name__ + ": " + str(error)})
        return False
def extra(name):
    from synapse.util.check_dependencies import check_requirements
    if name not in ("postgres", "matrix-synapse-ldap3"):
        try:
            check_requirements(name)
        except ValueError:
            pass
    for module in IMPORTS.get(name, []):
        importlib.import_module(module)
def named(name):
    module, _, member = name.rpartition(".")
    getattr(importlib.import_module(module), member)
parts = json.load(sys.stdin)
if attempt("Synapse itself", lambda: importlib.import_module("synapse.app.homeserver")):
    for kind, name, needed_for in parts:
        attempt(needed_for, lambda: extra(name) if kind == "extra" else named(name))
out.write("${MARK}" + json.dumps(missing))
out.flush()
os._exit(0)
`;

/** The gate of `open` where no Python can be asked: none is known on this host, or it is in a container's image. */
export function assumeParts(parts: readonly PythonPart[], inImage: boolean): Finding {
  const classes = parts.filter(({ kind }) => kind === "class");
  if (!inImage)
    return {
      id: GATE,
      level: "note",
      sentence:
        "whether Synapse has the modules and optional parts that its configuration needs could not be tried",
      hint: "give its Python environment: --synapse FOLDER",
    };
  if (classes.length === 0)
    return {
      id: GATE,
      level: "ok",
      sentence: "the image has Synapse with its optional parts, and no setting names another module",
    };
  return {
    id: GATE,
    level: "warning",
    sentence: "whether the image has the modules that the configuration names could not be tried",
    evidence: classes.map(({ neededFor, name }) => `${neededFor}: ${name}`),
    hint: "Synapse's own image has none of them: build one on top of it that has",
  };
}

const GATE = "synapse-parts";

/** The gate of `open`. */
export async function verifyParts(query: PartsQuery, programs: Programs): Promise<Finding> {
  const id = GATE;
  const { python, parts } = query;
  try {
    const missing = await findMissingParts(query, programs);
    if (missing.length > 0) return missingFinding(id, "blocker", python, missing);
    const names = parts.map(({ neededFor }) => neededFor);
    return {
      id,
      level: "ok",
      sentence: `${python} imports Synapse${names.length === 0 ? "" : " and what its configuration needs"}`,
      ...(names.length === 0 ? {} : { evidence: [`also for ${names.join(", ")}`] }),
    };
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    return {
      id,
      level: "warning",
      sentence: `whether Synapse has what its configuration needs could not be tried: ${error.message}`,
      hint: `run ${python} yourself: ${python} -c "import synapse.app.homeserver"`,
    };
  }
}

/** For `plan`: what the source itself no longer has. Its Python is what the server runs with now. */
export async function inspectParts(query: PartsQuery, programs: Programs): Promise<Finding[]> {
  const missing = await findMissingParts(query, programs);
  return missing.length === 0 ? [] : [missingFinding("source-parts", "warning", query.python, missing)];
}

const missingFinding = (
  id: string,
  level: "blocker" | "warning",
  python: string,
  missing: MissingParts,
): Finding => ({
  id,
  level,
  sentence: `${python} lacks what Synapse needs to start: ${missing.map(({ neededFor }) => neededFor).join(", ")}`,
  evidence: missing.map(({ neededFor, why }) => `${neededFor}: ${why}`),
  hint:
    level === "blocker"
      ? `install it for the Python that runs Synapse, or remove the setting that asks for it; if the server is started with a search path that has it, continue with --accept ${GATE}`
      : "the server would not start again here; the new host needs it too",
});
