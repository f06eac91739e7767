// Which models are held in memory: by what addresses reach, by what the machine has, by what was asked.

import { describe, expect, it } from 'vitest';
import { declaredTensors } from '../../src/analysis/residency.js';
import { planBinding } from '../../src/engine/index.js';
import { planResidency } from '../../src/engine/residency.js';
import type { ResidencyOptions } from '../../src/engine/residency.js';
import { buildModel } from '../../src/models/index.js';
import { findPublished } from '../../src/models/published.js';
import { MEMORY64_CAPACITY, WASM_CAPACITY } from '../../src/tensor/index.js';

const narrow = { name: 'wasm', capacity: WASM_CAPACITY, allocStreamed: () => [] };
const wide = { ...narrow, capacity: MEMORY64_CAPACITY };

function plan(model: string, backend: typeof narrow, options: ResidencyOptions): string {
  const { decoder } = buildModel(findPublished(model)!.config);
  const { targets } = planBinding(decoder, declaredTensors(decoder), { weights: 'q8_0' });
  const { kind, hint } = planResidency(decoder, targets, backend, model, options);
  return hint ? `${kind}: ${hint}` : kind;
}

describe('weights of 8.7 GB', () => {
  it.each([
    ['what 64-bit addresses reach', wide, { machine: 24e9 }, 'resident'],
    ['a machine of which nothing is known', wide, {}, 'resident'],
    ['what 32-bit addresses reach', narrow, { machine: 24e9 }, 'streamed: 32-bit addresses reach no more than 4.3 GB; Node 24 or newer has 64-bit ones and would hold all of it'],
    ['32-bit addresses and a bound that would do', narrow, { memory: 12e9 }, 'streamed: 32-bit addresses reach no more than 4.3 GB; Node 24 or newer has 64-bit ones and would hold all of it'],
    ['a machine that is too small', wide, { machine: 12e9 }, 'streamed: in memory it would take more than three quarters of the 12.0 GB that this machine has; a bound of your own (memory) may allow more'],
    ['the same, with a bound of its own', wide, { machine: 12e9, memory: 11.5e9 }, 'resident'],
    ['32-bit addresses on a machine that is too small', narrow, { machine: 10e9 }, 'streamed'],
    ['a bound that is too small', wide, { machine: 24e9, memory: 6e9 }, 'streamed'],
  ] as const)('%s', (_, backend, options, expected) => {
    expect(plan('qwen3-8b', backend, options)).toBe(expected);
  });
});

it('up to 4 GiB the machine is not asked', () => {
  expect(plan('qwen3-1.7b', wide, { machine: 2e9 })).toBe('resident');
});
