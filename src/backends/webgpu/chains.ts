// Which calls of a recorded step one dispatch computes. Between two dispatches of which one reads what the
// other writes a GPU stands still for some microseconds, about as long as it takes to read a matrix of a
// small model; stages of a chain wait for each other's numbers instead (see chain.wgsl).

import type { BufferId, Call, Operand } from '../../tensor/index.js';
import type { Capabilities, Dispatch } from './kernel.js';
import { chain, handed, stageOf } from './kernels/chain.js';
import type { Handed, Stage } from './kernels/chain.js';

/** Calls that are computed together, or one. */
export interface Step {
  readonly calls: readonly Call[];
  /** What is read of others' memory, and written that others read. */
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly chain?: Chain;
}

export interface Chain {
  /** Outputs that lie behind each other in the memory of the first: where, in bytes, and the bytes of all. */
  readonly places: ReadonlyMap<BufferId, number>;
  readonly bytes: number;
  /** The call that answers for the chain: the first, unless a dispatch of its own comes before the others. */
  readonly first: number;
  dispatches(faults: readonly (number | undefined)[]): Dispatch[];
}

interface Candidate { readonly stages: readonly Stage[]; readonly handed: Handed }

/** What a chain that waits too long says. */
export const waitedInVain = (): string => 'its workgroups waited for each other in vain: the GPU did not run them together; load the model again';

/** The calls as steps, in order. Only what is a temporary of theirs is handed on within a chain. */
export function stepsOf(calls: readonly Call[], temporaries: ReadonlySet<BufferId>, device: Capabilities): Step[] {
  const found = device.together ? candidates(calls, temporaries, device) : new Map<number, Candidate>();
  // Two chains at least take turns (see `turns`).
  if (found.size < 2) found.clear();
  const all = [...found.values()];
  const words = Math.max(0, ...all.map((each) => each.handed.words));
  const regions = turns(all.length);
  const steps: Step[] = [];
  for (let i = 0, n = 0; i < calls.length;) {
    const candidate = found.get(i);
    if (!candidate) {
      const call = calls[i++];
      steps.push({ calls: [call], inputs: call.inputs, outputs: call.outputs });
      continue;
    }
    const { stages, handed: { kept, results } } = candidate;
    const those = calls.slice(i, i += stages.length);
    const { merge } = stages[0];
    const first = merge ? 1 : 0;
    const own = new Set(those.flatMap((call) => call.outputs.map(({ buffer }) => buffer)));
    const [here, next] = [regions[n], regions[(n + 1) % all.length]].map((region) => region * words);
    n++;
    steps.push({
      calls: those,
      inputs: those.flatMap((call) => call.inputs).filter(({ buffer }) => !own.has(buffer)),
      outputs: those.flatMap((call) => call.outputs).filter(({ buffer }) => kept.has(buffer)),
      chain: {
        places: new Map([...kept].map(([buffer, at]) => [buffer, 4 * at])), bytes: 4 * results,
        first,
        dispatches: (faults) => [
          ...(merge ? [merge.before(faults[0] ?? 0)] : []),
          chain(stages, candidate.handed, { here, next, words, all: 3 * words }, { own: faults[first]!, attention: faults[0] ?? 0 }, device)!,
        ],
      },
    });
  }
  return steps;
}

/** Chains by the call that they begin with: as long as the device can bind what they need. */
function candidates(calls: readonly Call[], temporaries: ReadonlySet<BufferId>, device: Capabilities): Map<number, Candidate> {
  const readers = new Map<BufferId, number[]>();
  calls.forEach(({ inputs }, i) => { for (const { buffer } of inputs) readers.set(buffer, [...(readers.get(buffer) ?? []), i]); });
  const stages = calls.map((call) => (call.outputs.every(({ buffer }) => temporaries.has(buffer)) ? stageOf(call, device) : undefined));
  const found = new Map<number, Candidate>();
  const { stages: longest = Infinity } = device.together!;
  const least = Math.min(2, longest);
  for (let first = 0; first < calls.length;) {
    let best: Candidate | undefined;
    // Only the first dispatch of a chain can be another's.
    for (let end = first + 1; end <= calls.length && end - first <= longest && stages[end - 1] && !(end > first + 1 && stages[end - 1]!.merge); end++) {
      const candidate = candidateOf(stages.slice(first, end) as Stage[], (buffer) => (readers.get(buffer) ?? []).some((reader) => reader < first || reader >= end), device);
      // A choice is sound with the calls that read it.
      if (candidate) best = candidate;
      else if (!stages.slice(first, end).some((stage) => stage!.choice)) break;
    }
    if (best && best.stages.length < least) best = undefined;
    if (best) found.set(first, best);
    first += best?.stages.length ?? 1;
  }
  return found;
}

function candidateOf(stages: readonly Stage[], readOutside: (buffer: BufferId) => boolean, device: Capabilities): Candidate | undefined {
  const written = (of: (stage: Stage) => boolean) => new Set(stages.filter(of).flatMap(({ outputs }) => outputs.map(({ buffer }) => buffer)));
  // Every workgroup has the choice, and no other dispatch. Results of three matrices are not sent, and all else is read in whole buffers.
  const chosen = written(({ choice }) => choice !== undefined);
  const [several, all] = [written(({ matrices }) => matrices.length === 3), written(() => true)];
  const sound = stages.every(({ x, add, matrices, norm, indices, weights, choice }) =>
    [x, add].every((operand) => !operand || !(several.has(operand.buffer) || chosen.has(operand.buffer)))
    && [...matrices, norm?.weight].every((operand) => !operand || !all.has(operand.buffer))
    && [indices, weights].every((operand) => !operand || chosen.has(operand.buffer) || !all.has(operand.buffer))
    && (!choice || all.has(x.buffer)));
  if (!sound || [...chosen].some(readOutside) || stages.filter(({ choice }) => choice).length > 1) return undefined;
  const hands = handed(stages, readOutside);
  return chain(stages, hands, { here: 0, next: 0, words: 0, all: 0 }, { own: 0, attention: 0 }, device) && { stages, handed: hands };
}

/** Each chain's region of the exchange: never that of the chain behind it, which it clears, the last one's being the first. */
function turns(chains: number): number[] {
  return Array.from({ length: chains }, (_, n) => (n === chains - 1 && n % 2 === 0 ? 2 : n % 2));
}
