// What may import what: the rules of test/architecture.test.ts, and of the picture that scripts/docs.ts draws.
// Imports of types count: a type that comes from above is knowledge from above.
import type { ICruiseOptions, IRegularForbiddenRuleType } from "dependency-cruiser";

/** The house, ground floor first. A file may import from its own room and from the floors below. */
export const FLOORS: readonly (readonly string[])[] = [
  ["errors.ts"],
  ["system", "proxies"],
  ["pipeline", "journal", "report"],
  ["bundle", "delegation", "old-address"],
  ["homeserver", "transfer"],
  ["move"],
  ["commands"],
  ["main.ts"],
];

/** Inside the two largest rooms there are floors too, ground first. */
export const INNER_FLOORS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  homeserver: [
    ["scope.ts", "synapse-versions.ts", "path-map.ts"],
    ["homeserver.ts"],
    ["settings.ts", "database", "listeners.ts"],
    ["media", "people", "signing-key"],
    ["config"],
    ["mas"],
    ["read.ts"],
    ["service"],
    ["version"],
  ],
  move: [
    ["confirm.ts", "connect.ts", "disk-space.ts", "folder-access.ts", "interrupted.ts", "sections.ts"],
    ["outage", "old-server", "users", "port", "carry"],
    ["plan", "restore", "report-facts.ts", "old-address", "receive"],
    ["export", "open", "rollback", "standing", "follow"],
    ["direct", "cleanup", "support"],
  ],
};

/** Built-in modules that compute and reach nothing; only system/ may have the others. */
const HARMLESS = ["buffer", "crypto", "path", "stream", "stream/promises", "url", "util", "zlib"];

/** Packages, and where they are known. A package that is not named here may be imported nowhere. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@aws-sdk/client-s3": ["system/s3/"],
  "@clack/prompts": ["system/terminal.ts"],
  commander: ["commands/menu.ts", "main.ts"],
  "dns-packet": ["system/dns/"],
  "tar-stream": ["pipeline/tar.ts"],
  yaml: ["homeserver/config/", "move/"],
  zod: [""],
};

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&");
const rooms = (names: readonly string[], below = "src/") =>
  `^${escaped(below)}(${names.map(escaped).join("|")})(/|$)`;

/** One rule a room: neither its neighbours on the same floor nor what lies above. */
function floorRules(
  name: string,
  floors: readonly (readonly string[])[],
  below = "src/",
): IRegularForbiddenRuleType[] {
  return floors.flatMap((floor, at) =>
    floor.flatMap((room) => {
      const others = [...floor.filter((other) => other !== room), ...floors.slice(at + 1).flat()];
      if (others.length === 0) return [];
      return [
        {
          name: `${name}: ${room}`,
          comment: `${below}${room} may import only from itself and from the floors below`,
          severity: "error" as const,
          from: { path: rooms([room], below) },
          to: { path: rooms(others, below) },
        },
      ];
    }),
  );
}

/** For dependency-cruiser. */
export const RULES: IRegularForbiddenRuleType[] = [
  {
    name: "no cycle",
    comment: "files that import each other, by value or by type, are one file or want a third below both",
    severity: "error" as const,
    from: {},
    to: { circular: true },
  },
  ...floorRules("floors", FLOORS),
  ...Object.entries(INNER_FLOORS).flatMap(([room, floors]) => [
    ...floorRules(`inside ${room}`, floors, `src/${room}/`),
  ]),
  {
    name: "commands know no other command",
    severity: "error" as const,
    from: { path: "^src/commands/[^/]+\\.ts$", pathNot: "^src/commands/(index|menu)\\.ts$" },
    to: { path: "^src/commands/[^/]+\\.ts$", pathNot: "^src/commands/command\\.ts$" },
  },
  {
    name: "commands load their work when they run",
    comment:
      "the help of all commands is to be there at once: in run, write const { … } = await import(…); types may be imported",
    severity: "error" as const,
    from: { path: "^src/commands/[^/]+\\.ts$" },
    to: {
      path: rooms(["move", "homeserver", "transfer", "bundle", "delegation", "old-address"]),
      dynamic: false,
      dependencyTypesNot: ["type-only"],
    },
  },
  {
    name: "options know no command",
    severity: "error" as const,
    from: { path: "^src/commands/options/" },
    to: { path: "^src/commands/[^/]+\\.ts$", pathNot: "^src/commands/command\\.ts$" },
  },
  {
    name: "only system/ reaches outside",
    comment:
      "files, programs, the network and the terminal are reached through the interfaces of src/system/",
    severity: "error" as const,
    from: { path: "^src/", pathNot: "^src/system/" },
    to: { dependencyTypes: ["core"], pathNot: `^(node:)?(${HARMLESS.map(escaped).join("|")})$` },
  },
  {
    name: "no unknown package",
    severity: "error" as const,
    from: {},
    to: {
      dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer", "npm-no-pkg", "npm-unknown"],
      pathNot: `(^|/)node_modules/(${Object.keys(PACKAGES).map(escaped).join("|")})/`,
    },
  },
  ...Object.entries(PACKAGES)
    .filter(([, where]) => !where.includes(""))
    .map(([name, where]) => ({
      name: `${name} has its place`,
      severity: "error" as const,
      from: { path: "^src/", pathNot: `^src/(${where.map(escaped).join("|")})` },
      to: { path: `(^|/)node_modules/${escaped(name)}/` },
    })),
  { name: "can be resolved", severity: "error" as const, from: {}, to: { couldNotResolve: true } },
];

export const OPTIONS: ICruiseOptions = {
  doNotFollow: { path: "(^|/)node_modules/" },
  parser: "tsc",
  tsPreCompilationDeps: true,
};
