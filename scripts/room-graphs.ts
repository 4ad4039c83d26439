// Draws, in Mermaid, which room of src/ imports which: the part of docs/house.md that nobody writes by hand.
import { join } from "node:path";
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { FLOORS, INNER_FLOORS, OPTIONS, RULES } from "./architecture.ts";

type Floors = readonly (readonly string[])[];

interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether a rule of architecture.ts forbids it. */
  readonly forbidden: boolean;
}

/** Markdown: a graph and a table for src/, and the same for each room that has floors of its own. */
export async function roomGraphs(root: string): Promise<string> {
  const imports = await importsOf(root);
  const sections = [
    section("All of `src/`", "src/", FLOORS, imports),
    ...Object.entries(INNER_FLOORS).map(([room, floors]) =>
      section(`Inside \`${room}/\``, `src/${room}/`, floors, imports),
    ),
  ];
  return sections.join("\n\n");
}

/** Every import between files of src/, types included. Throws when there are none. */
async function importsOf(root: string): Promise<readonly Import[]> {
  const { output } = await cruise(
    ["src"],
    { ...OPTIONS, ruleSet: { forbidden: RULES }, validate: true, baseDir: root },
    undefined,
    { tsConfig: extractTSConfig(join(root, "tsconfig.json")) },
  );
  if (typeof output !== "object") throw new Error("dependency-cruiser returned no result");
  const imports = output.modules.flatMap(({ source, dependencies }) =>
    dependencies.map(({ resolved, valid }) => ({ from: source, to: resolved, forbidden: !valid })),
  );
  const own = imports.filter(({ from, to }) => from.startsWith("src/") && to.startsWith("src/"));
  if (own.length === 0) throw new Error(`no import was found in ${root}/src`);
  return own;
}

function section(title: string, below: string, floors: Floors, imports: readonly Import[]): string {
  const rooms = roomImports(below, imports);
  const there = new Set([...rooms].flatMap(([from, to]) => [from, ...to.keys()]));
  const shown = floors.map((floor) => floor.filter((room) => there.has(room)));
  const rows = shown
    .toReversed()
    .flat()
    .map((room) => {
      const to = rooms.get(room);
      const names = shown.flat().filter((other) => to?.has(other));
      return `| ${room} | ${names.length === 0 ? "no other" : names.join(", ")} |`;
    });
  return [
    `### ${title}`,
    `\`\`\`mermaid\n${graph(shown, rooms)}\n\`\`\``,
    `| room | imports from |\n| --- | --- |\n${rows.join("\n")}`,
  ].join("\n\n");
}

/** Room → the rooms that it imports from; true where one of these imports is forbidden. */
function roomImports(
  below: string,
  imports: readonly Import[],
): ReadonlyMap<string, ReadonlyMap<string, boolean>> {
  const roomOf = (path: string) =>
    path.startsWith(below) ? path.slice(below.length).split("/")[0] : undefined;
  const rooms = new Map<string, Map<string, boolean>>();
  for (const { from, to, forbidden } of imports) {
    const [own, other] = [roomOf(from), roomOf(to)];
    if (own === undefined || other === undefined || own === other) continue;
    const known = rooms.get(own) ?? new Map<string, boolean>();
    rooms.set(own, known.set(other, forbidden || known.get(other) === true));
  }
  return rooms;
}

/** Leaves out an arrow where other arrows lead to the same room, because nearly every room imports from the ground floor. */
function graph(floors: Floors, rooms: ReadonlyMap<string, ReadonlyMap<string, boolean>>): string {
  const node = (room: string) => room.replaceAll(/[^a-z]/g, "_");
  const boxes = floors
    .toReversed()
    .flatMap((floor, at) =>
      floor.length === 0
        ? []
        : [
            `  subgraph floor_${floors.length - at}[" "]`,
            ...floor.map((room) => `    ${node(room)}["${room}"]`),
            "  end",
          ],
    );
  const arrows = floors
    .toReversed()
    .flat()
    .flatMap((from) =>
      floors
        .flat()
        .filter((to) => rooms.get(from)?.has(to))
        .filter((to) => rooms.get(from)?.get(to) === true || !isImplied(from, to, rooms))
        .map((to) => `  ${node(from)} ${rooms.get(from)?.get(to) ? "-. forbidden .->" : "-->"} ${node(to)}`),
    );
  return ["flowchart TD", ...boxes, ...arrows].join("\n");
}

/** Whether there is a way from one room to another by a third. */
function isImplied(
  from: string,
  to: string,
  rooms: ReadonlyMap<string, ReadonlyMap<string, boolean>>,
): boolean {
  const seen = new Set([from]);
  const next = [...(rooms.get(from)?.keys() ?? [])].filter((room) => room !== to);
  for (let room = next.pop(); room !== undefined; room = next.pop()) {
    if (room === to) return true;
    if (seen.has(room)) continue;
    seen.add(room);
    next.push(...(rooms.get(room)?.keys() ?? []));
  }
  return false;
}
