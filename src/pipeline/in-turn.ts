/** What is at hand already, as a stream: one after the other, whenever the reader asks. */
export async function* inTurn<Item>(items: Iterable<Item>): AsyncGenerator<Item, undefined> {
  for (const item of items) yield await Promise.resolve(item);
}
