// What a model is wanted for, and what that asks of a machine where nothing else is said.

export type Purpose = 'chat' | 'long-documents' | 'code' | 'throughput' | 'on-device';

export const PURPOSES: Readonly<Record<Purpose, { readonly context: number; readonly batch: number; readonly tokensPerSecond: number; readonly text: string }>> = {
  'chat': { context: 8192, batch: 1, tokensPerSecond: 10, text: 'answers at reading speed' },
  'long-documents': { context: 65536, batch: 1, tokensPerSecond: 5, text: 'long prompts, answers at a slow reader\'s speed' },
  'code': { context: 32768, batch: 1, tokensPerSecond: 20, text: 'files in the prompt, answers faster than one reads' },
  'throughput': { context: 4096, batch: 32, tokensPerSecond: 5, text: 'most tokens per second over all sequences' },
  'on-device': { context: 4096, batch: 1, tokensPerSecond: 8, text: 'beside other programs, at reading speed' },
};

