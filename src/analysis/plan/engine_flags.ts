// Flags of the engines that launches are written for: those used here, with the file and commit of
// each project that defines them. A test holds every emitted flag against this list.

export interface EngineFacts {
  readonly sources: readonly { readonly file: string; readonly commit: string }[];
  /** Flag -> the values it takes, where they are a closed list. */
  readonly flags: Readonly<Record<string, readonly string[] | null>>;
}

export const engineFacts = {
  vllm: {
    sources: [
      { file: 'vllm-project/vllm: vllm/engine/arg_utils.py', commit: '99d7eb5d6a512cfcc5a2b104f24ebf2d6cda772b' },
      // Came after that commit: --nnodes, --node-rank, --master-addr. vLLM's own documentation of LeaderWorkerSet starts machines with them and --port.
      { file: 'vllm-project/vllm: vllm/entrypoints/cli/serve.py', commit: '00a5fdd20935ba7679750db22997dcf539ca4591' },
    ],
    flags: {
      '--port': null, '--headless': null, '--tensor-parallel-size': null, '--pipeline-parallel-size': null, '--data-parallel-size': null,
      '--enable-expert-parallel': null, '--nnodes': null, '--node-rank': null, '--master-addr': null, '--max-model-len': null, '--max-num-seqs': null,
      '--dtype': ['auto', 'half', 'float16', 'bfloat16', 'float', 'float32'], '--quantization': ['fp8'], '--kv-cache-dtype': ['auto', 'fp8'],
      '--gpu-memory-utilization': null, '--trust-remote-code': null,
    },
  },
  sglang: {
    sources: [{ file: 'sgl-project/sglang: python/sglang/srt/server_args.py', commit: '001067fffe33427bee0ed2f007fb7551a1d76b44' }],
    flags: {
      '--model-path': null, '--host': null, '--port': null, '--tp-size': null, '--pp-size': null, '--dp-size': null, '--ep-size': null, '--nnodes': null,
      '--node-rank': null, '--dist-init-addr': null, '--context-length': null, '--max-running-requests': null,
      '--dtype': ['auto', 'half', 'float16', 'bfloat16', 'float', 'float32'], '--quantization': ['fp8'], '--kv-cache-dtype': ['auto', 'fp8_e5m2', 'fp8_e4m3', 'bf16', 'bfloat16'],
      '--mem-fraction-static': null, '--trust-remote-code': null,
    },
  },
} as const satisfies Readonly<Record<string, EngineFacts>>;

export type EngineName = keyof typeof engineFacts;
