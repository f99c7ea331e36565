import type { Slices } from '../../fs/slices.ts';

/** What leads to others, and to which. */
export type Graph = ReadonlyMap<string, readonly string[]>;

/**
 * The nodes of a graph in levels: each comes after all that lead to it, as far as that can be. Where they lead to each other in a circle, which digests
 * can't but what is said of subjects can, it is broken somewhere.
 */
export async function levels(graph: Graph, slices: Slices): Promise<string[][]> {
  const depths = new Map<string, number>();
  for (const node of await inOrder(graph, slices)) {
    if (slices.over) await slices.next();
    const depth = depths.get(node) ?? 0;
    depths.set(node, depth);
    for (const next of graph.get(node) ?? [])
      if (graph.has(next)) depths.set(next, Math.max(depths.get(next) ?? 0, depth + 1));
  }
  const found: string[][] = [];
  for (const [node, depth] of depths) {
    while (found.length <= depth) found.push([]);
    found[depth]?.push(node);
  }
  return found;
}

/** Reversed post-order of a search in depth; without recursion, since who pushes decides how deep it is. */
async function inOrder(graph: Graph, slices: Slices): Promise<string[]> {
  const seen = new Set<string>();
  const order: string[] = [];
  for (const root of graph.keys()) {
    const path: { node: string; at: number }[] = [];
    const enter = (node: string): void => {
      if (seen.has(node) || !graph.has(node)) return;
      seen.add(node);
      path.push({ node, at: 0 });
    };
    enter(root);
    if (slices.over) await slices.next();
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = graph.get(top.node)?.[top.at++];
      if (next !== undefined) enter(next);
      else {
        order.push(top.node);
        path.pop();
      }
    }
  }
  return order.reverse();
}
