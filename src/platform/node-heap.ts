// V8 doubles the room for new objects whenever many of them stay, up to some 100 MB, and keeps it: a model's
// vocabulary made it the largest part of a process beside the weights (docs/log.md, "The most memory of a process").

import { setFlagsFromString } from 'node:v8';

const FLAG = '--semi-space-growth-factor';
const V8_DEFAULT = 2;

let running = 0;

export async function keepingHeapSmall<T>(body: () => Promise<T>): Promise<T> {
  // Whoever set it knows better.
  if (process.execArgv.some((argument) => argument.startsWith(FLAG))) return body();
  if (running++ === 0) setFlagsFromString(`${FLAG}=1`);
  try {
    return await body();
  } finally {
    if (--running === 0) setFlagsFromString(`${FLAG}=${V8_DEFAULT}`);
  }
}
