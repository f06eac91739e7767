// A prompt in any of the forms that a person may give it, as token ids.

import type { ChatMessage } from './chat_template.js';
import type { Tokenizer } from './tokenizer.js';

/** Text, token ids, or a chat that goes through the checkpoint's template. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

/** Token ids of a prompt; `name` is whose tokenizer it would be, for the error where there is none. */
export function promptIds(prompt: Prompt, tokenizer: Tokenizer | undefined, name: string): number[] {
  if (typeof prompt !== 'string' && prompt.every((item) => typeof item === 'number')) return [...prompt] as number[];
  if (!tokenizer) throw new Error(`${name} has no tokenizer: give token ids`);
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  const text = tokenizer.applyChatTemplate(prompt as readonly ChatMessage[], { addGenerationPrompt: true });
  return tokenizer.encode(text, { addSpecialTokens: false });
}
