// A page that loads a model and lets it write. Everything heavy happens in the library's worker: this
// thread only shows what arrives.

import { listCachedFiles, loadModel, removeCachedFiles } from './lamella/lamella.js';

const element = (id) => document.getElementById(id);
const [files, address, backend, progress, status, warning] = ['files', 'address', 'backend', 'progress', 'status', 'warning'].map(element);
const [prompt, output, speed, kept] = ['prompt', 'output', 'speed', 'kept'].map(element);

let model;
/** Ends what is under way: a load or a text. */
let running;

const sizeText = (bytes) => (bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`);
const show = (message) => { status.textContent = message; };
const warn = (message) => {
  warning.textContent = [warning.textContent, message].filter(Boolean).join(' · ');
  warning.hidden = false;
};

function showState() {
  const busy = running !== undefined;
  element('load-button').disabled = busy;
  element('unload').disabled = busy || !model;
  element('generate-button').disabled = busy || !model;
  element('stop').disabled = !busy;
}

/** Runs one thing at a time; the Stop button ends it. */
async function run(task) {
  running = new AbortController();
  showState();
  try {
    await task(running.signal);
  } catch (error) {
    if (running.signal.aborted) show('Stopped.');
    else show(`That did not work: ${error.message}`);
  } finally {
    running = undefined;
    progress.hidden = true;
    showState();
  }
}

async function load(signal) {
  const source = files.files.length > 0 ? files.files : address.value.trim();
  if (!source) throw new Error('choose files or give an address first.');
  await unload();
  warning.hidden = true;
  warning.textContent = '';
  progress.hidden = false;
  progress.value = 0;
  show('Loading…');
  const options = {
    signal,
    onWarning: warn,
    onProgress: ({ loaded, total }) => { progress.value = loaded / total; show(`Loading: ${sizeText(loaded)} of ${sizeText(total)}`); },
  };
  const start = performance.now();
  model = await loadOn(backend.value, source, options);
  const threads = model.backend === 'wasm' ? ` on ${model.threads} ${model.threads === 1 ? 'thread' : 'threads'}` : '';
  show(`${model.family} from ${model.name}: ${model.backend}${threads}, context ${model.contextLength}, loaded in ${((performance.now() - start) / 1000).toFixed(1)} s.`);
  await showKept();
}

/** On the GPU where that works; a page that asked for it is told why it does not. */
async function loadOn(wanted, source, options) {
  if (wanted === 'webgpu') {
    try {
      return await loadModel(source, { ...options, backend: 'webgpu' });
    } catch (error) {
      if (options.signal.aborted) throw error;
      warn(`Not on the GPU: ${error.message}. Using WebAssembly.`);
    }
  }
  return loadModel(source, { ...options, backend: 'wasm' });
}

async function unload() {
  if (!model) return;
  const gone = model;
  model = undefined;
  await gone.dispose();
  show('No model is loaded.');
}

async function generate(signal) {
  output.textContent = prompt.value;
  speed.textContent = '';
  const text = output.firstChild;
  const start = performance.now();
  let [count, first] = [0, start];
  const pieces = model.generate(prompt.value, { signal, maxTokens: Number(element('max-tokens').value), temperature: Number(element('temperature').value) });
  for await (const piece of pieces) {
    text.appendData(piece.text);
    count++;
    const now = performance.now();
    if (count === 1) first = now;
    const rate = count > 1 ? `, ${(((count - 1) * 1000) / (now - first)).toFixed(1)} per second` : '';
    speed.textContent = `${count} ${count === 1 ? 'token' : 'tokens'}, the first after ${(first - start).toFixed(0)} ms${rate}`;
  }
}

async function showKept() {
  const found = await listCachedFiles().catch(() => []);
  found.sort((a, b) => b.keptBytes - a.keptBytes);
  kept.replaceChildren(...(found.length > 0 ? found : [undefined]).map((file) => {
    const item = document.createElement('li');
    const [name, size] = [document.createElement('span'), document.createElement('span')];
    [name.className, size.className] = ['name', 'size'];
    name.textContent = file?.url ?? 'Nothing. Models that are loaded by address are kept here for the next time.';
    if (file) size.textContent = file.keptBytes === file.size ? sizeText(file.size) : `${sizeText(file.keptBytes)} of ${sizeText(file.size)}`;
    item.append(name, size);
    return item;
  }));
  element('forget').hidden = found.length === 0;
}

element('load').addEventListener('submit', (event) => { event.preventDefault(); void run(load); });
element('generate').addEventListener('submit', (event) => { event.preventDefault(); if (model) void run(generate); });
element('unload').addEventListener('click', () => void run(unload));
element('stop').addEventListener('click', () => running?.abort());
element('forget').addEventListener('click', () => void removeCachedFiles().then(showKept));
// A file and an address at once would leave it open which is meant.
address.addEventListener('input', () => { files.value = ''; });
files.addEventListener('change', () => { address.value = ''; });

element('environment').textContent = [
  crossOriginIsolated ? `Threads can be used here (${navigator.hardwareConcurrency} processors).` : 'This page is not cross-origin isolated: one thread computes.',
  navigator.gpu ? 'WebGPU is offered.' : 'There is no WebGPU here.',
].join(' ');
showState();
void showKept();
