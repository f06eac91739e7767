/**
 * `lamella/tokenizer`: text to ids and back, chats to text, for the published vocabularies.
 */
export { tokenizerFromFiles, tokenizerFromLoaded } from './load.js';
export { loadTokenizer } from './source.js';
export { ggufTokenizerMetadata } from './gguf-write.js';
export { createTokenizer } from './tokenizer.js';
export type { DecodeOptions, EncodeOptions, Tokenizer, TokenizerParts } from './tokenizer.js';
export { promptIds } from './prompt.js';
export type { Prompt } from './prompt.js';
export { tokenizerFileNames } from './files.js';
export type { LoadedFiles, TextFiles } from './files.js';
export { StopMatcher } from './stop_matcher.js';
export { vocabularyFromJson } from './hub_json.js';
export { namedTemplates } from './chat_template.js';
export { parseTokenizerConfig } from './config.js';
export type { ChatMessage, ChatTemplateOptions, NamedTemplates } from './chat_template.js';
export type { TokenizerConfig } from './config.js';
export type { AddedToken, TextStream, Vocabulary } from './vocabulary.js';
export { BpeTrainer, END_OF_TEXT } from './train_bpe.js';
