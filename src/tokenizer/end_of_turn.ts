/**
 * Which tokens end the assistant's turn, learnt from the chat template itself: render a chat with a
 * marker as the assistant's words and see which added token follows it. No list of families: a template
 * says what it puts after an answer, after a call of a tool, and under any variable it asks for.
 */
import type { ChatMessage, ChatTemplate, ChatTemplateOptions } from './chat_template.js';
import type { AddedToken } from './vocabulary.js';

/** Stands for the assistant's words; letters only, so that no template or JSON changes it. */
const MARKER = 'EndOfTurnMarker';

const user: ChatMessage = { role: 'user', content: 'Hello' };
const answer: ChatMessage = { role: 'assistant', content: MARKER };
// Mistral's templates want ids of nine letters or digits.
const call = (args: unknown): ChatMessage => ({
  role: 'assistant',
  content: '',
  tool_calls: [{ id: 'call00000', type: 'function', function: { name: 'lookup', arguments: args } }],
});
const result: ChatMessage = { role: 'tool', name: 'lookup', tool_call_id: 'call00000', content: 'found' };

/** Ids of the tokens that a template puts at the end of an assistant's turn. */
export function findEndOfTurn(template: ChatTemplate, added: readonly AddedToken[]): number[] {
  const found = new Set<number>();
  const tokensAfter = tokenFinder(added);
  for (const variables of variablesToTry(template.source ?? '')) {
    const tail = (messages: ChatMessage[]) => textAfterMarker(template, messages, variables);
    // Some templates put nothing after an answer, and the header of the next turn is what ends it.
    const first = (messages: ChatMessage[]) => tokensAfter(tail(messages))[0];
    const ends = first([user, answer]) ?? first([user, answer, user]);
    if (ends) found.add(ends.id);
    // Brackets of the call itself come first; the turn ends with the last control token.
    const calls = tail([user, call({ query: MARKER })]) || tail([user, call(`{"query": "${MARKER}"}`)]);
    const ended = tokensAfter(calls).filter(({ special }) => special).at(-1);
    if (ended) found.add(ended.id);
    else if (ends && calls !== '') addHeaderOfResult();

    /** A turn that ends with nothing of its own before a tool's result ends with that result's header. */
    function addHeaderOfResult(): void {
      const after = tail([user, call({ query: MARKER }), result]).slice(calls.length);
      const header = tokensAfter(after)[0];
      if (header?.special) found.add(header.id);
    }
  }
  return [...found];
}

/** What follows the marker's last occurrence; '' when the template refuses or leaves the marker out. */
function textAfterMarker(template: ChatTemplate, messages: ChatMessage[], variables: ChatTemplateOptions): string {
  try {
    const text = template.render(messages, variables);
    const at = text.lastIndexOf(MARKER);
    return at < 0 ? '' : text.slice(at + MARKER.length);
  } catch {
    return ''; // a template may refuse tools, or a variable of the wrong kind
  }
}

/** The plain rendering, then one for each variable the template asks after, defined but empty. */
function variablesToTry(source: string): ChatTemplateOptions[] {
  const asked = new Set([...source.matchAll(/\b([a-z_]+)\s+is\s+(?:not\s+)?defined/g)].map(([, name]) => name));
  const given = ['messages', 'tools', 'documents', 'add_generation_prompt', 'strftime_now', 'raise_exception'];
  return [{}, ...[...asked].filter((name) => !given.includes(name)).map((name) => ({ [name]: [] }))];
}

function tokenFinder(added: readonly AddedToken[]): (text: string) => AddedToken[] {
  // White space (runs of it are added tokens in some vocabularies) ends nothing.
  const byContent = new Map(added.filter(({ content }) => content.trim() !== '').map((token) => [token.content, token]));
  const longest = Math.max(0, ...[...byContent.keys()].map((content) => content.length));
  return (text) => {
    const found: AddedToken[] = [];
    for (let at = 0; at < text.length; at++) {
      for (let length = Math.min(longest, text.length - at); length > 0; length--) {
        const token = byContent.get(text.slice(at, at + length));
        if (!token) continue;
        found.push(token);
        at += length - 1;
        break;
      }
    }
    return found;
  };
}
