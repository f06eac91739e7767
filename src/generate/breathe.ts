// A pause between steps, in which timers, signals and other requests get their turn.

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Resolves in a task of its own, as soon as what was waiting has run. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') { setImmediate(resolve); return; }
    // Browsers make every timer after the first few wait for four milliseconds, and messages not.
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(resolve);
    channel.port2.postMessage(undefined);
  });
}
