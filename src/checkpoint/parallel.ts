// A few things at a time, for work that waits on disks and servers.

/** Runs the action over all items, at most `limit` at a time; waits for those running before it rejects. */
export async function inParallel<T>(items: readonly T[], limit: number, action: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failed) return;
      try {
        await action(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker));
  const first = results.find((result) => result.status === 'rejected');
  if (first) throw first.reason;
}
