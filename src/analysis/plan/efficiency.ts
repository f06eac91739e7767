// What share of a machine's figures an engine reaches: one pair per backend, never per model, with
// the measurement it comes from. A guess says that it is one.

export interface Efficiency {
  readonly engine: string;
  /** Share of the memory bandwidth that decoding reaches. */
  readonly bandwidth: number;
  /** Share of the arithmetic that prefill reaches. */
  readonly arithmetic: number;
  /** Seconds that each layer of a step costs beside its bytes: threads waiting for each other, small ops. */
  readonly secondsPerLayer: number;
  /** False: nobody has measured this here, and predictions are marked so. */
  readonly measured: boolean;
  readonly source: string;
}

export type Kind = 'gpu' | 'mac' | 'phone' | 'cpu';

const GUESS = 'no measurement of this project exists for this kind of machine: half of what the datasheet promises, a third of its arithmetic';

export const efficiencies: Readonly<Record<Kind, Efficiency>> = {
  cpu: {
    engine: 'wasm', bandwidth: 0.91, arithmetic: 0.53, secondsPerLayer: 0.00019, measured: true,
    source: 'WebAssembly engine on 2 shared cores of a server CPU, q8_0, 128-token prompt, 32 decoded: docs/planner.md',
  },
  gpu: {
    engine: 'webgpu', bandwidth: 0.93, arithmetic: 0.185, secondsPerLayer: 0.000035, measured: true,
    source: 'WebGPU engine on one NVIDIA H200, 512-token prompt, 128 decoded, prompts of 2,048: docs/planner.md',
  },
  mac: { engine: 'webgpu', bandwidth: 0.5, arithmetic: 0.33, secondsPerLayer: 0.0001, measured: false, source: GUESS },
  phone: { engine: 'webgpu', bandwidth: 0.4, arithmetic: 0.2, secondsPerLayer: 0.0002, measured: false, source: `${GUESS}; less on a phone, which slows down when warm` },
};

/** What each added device adds, where several share a step: the rest goes to moving activations between them. */
export const PARALLEL_EFFICIENCY = 0.7;
