// Recorded steps: what is computed over a step block in which every sequence adds one token, captured
// once per power-of-two count of sequences, fused, recorded by the backend, and replayed from then on.

import { fuse, PAGE_TOKENS, scope } from '../tensor/index.js';
import type { Device, Plan, Tensor } from '../tensor/index.js';
import type { KvPages } from './pages.js';
import type { StepBlock, StepShape } from './step.js';

export interface Recorded<Block extends StepBlock> {
  readonly block: Block;
  readonly plan: Plan;
  /** What the step leaves to be read; undefined where it only changes the block. */
  readonly result: Tensor | undefined;
  /** The buffers of the pages over which it was recorded. */
  readonly generation: number;
}

export class Plans<Block extends StepBlock> {
  private readonly byBucket = new Map<number, Recorded<Block>>();

  constructor(
    private readonly device: Device, private readonly kv: KvPages, private readonly contextLength: number,
    private readonly makeBlock: (shape: StepShape) => Block, private readonly body: (block: Block) => Tensor | undefined,
    private readonly onRecorded: () => void,
  ) {}

  /** The plan for `count` sequences; a new one where pages have moved since. */
  for(count: number): Recorded<Block> {
    const bucket = 2 ** Math.ceil(Math.log2(count));
    const found = this.byBucket.get(bucket);
    if (found?.generation === this.kv.generation) return found;
    if (found) this.drop(bucket, found);
    const recorded = this.record(bucket);
    this.byBucket.set(bucket, recorded);
    this.onRecorded();
    return recorded;
  }

  values(): IterableIterator<Recorded<Block>> {
    return this.byBucket.values();
  }

  dispose(): void {
    for (const [bucket, recorded] of this.byBucket) this.drop(bucket, recorded);
  }

  private record(bucket: number): Recorded<Block> {
    const { backend } = this.device;
    const block = this.makeBlock({ tokens: bucket, sequences: bucket, rows: bucket, pages: Math.ceil(this.contextLength / PAGE_TOKENS) });
    const { result, capture } = this.device.capture(() => scope(() => this.body(block))?.retain());
    try {
      const keep = result ? [result.storage.id] : [];
      const calls = fuse(capture.calls, keep, (call) => backend.supports(call.op, call.inputs.map((i) => i.spec), call.attrs));
      return { block, result, plan: backend.record(calls, keep), generation: this.kv.generation };
    } catch (error) {
      block.dispose();
      result?.release();
      throw error;
    }
  }

  private drop(bucket: number, { plan, block, result }: Recorded<Block>): void {
    plan.dispose();
    block.dispose();
    result?.release();
    this.byBucket.delete(bucket);
  }
}
