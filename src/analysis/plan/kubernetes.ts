// One manifest: a Deployment on one machine, a LeaderWorkerSet over several, and the Service before
// it. LeaderWorkerSet is kubernetes-sigs/lws, whose controller sets the LWS_ variables.

import type { EngineName } from './engine_flags.js';
import type { Layout } from './layout.js';

export interface ManifestInput {
  readonly engine: EngineName;
  readonly model: string;
  readonly layout: Layout;
  readonly port: number;
  readonly command: (worker: boolean) => string;
  readonly weightBytes: number;
}

const IMAGES: Readonly<Record<EngineName, string>> = { vllm: 'vllm/vllm-openai:latest', sglang: 'lmsysorg/sglang:latest' };
/** Processes of one machine hand tensors over through shared memory; the container's default is 64 MiB. */
const SHARED_MEMORY = '32Gi';
/** Slow disks and networks load a gigabyte in about four seconds; nothing is judged before. */
const SECONDS_PER_GB = 4;

export function manifest(input: ManifestInput): string {
  const name = resourceName(input.model);
  return [...(input.layout.nodes === 1 ? deployment(name, input) : leaderWorkerSet(name, input)), '---', ...service(name, input)].join('\n') + '\n';
}

/** A DNS label: lower case, digits and hyphens, at most 63, beginning with a letter. */
export function resourceName(model: string): string {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^[^a-z]+/, '').slice(0, 50).replace(/-+$/, '');
  return name === '' ? 'model' : name;
}

function deployment(name: string, input: ManifestInput): string[] {
  return [
    'apiVersion: apps/v1', 'kind: Deployment', 'metadata:', `  name: ${name}`, 'spec:', '  replicas: 1', '  strategy:', '    type: Recreate',
    '  selector:', '    matchLabels:', `      app: ${name}`, '  template:', '    metadata:', '      labels:', `        app: ${name}`,
    ...indent(4, podSpec(input, false, true)),
  ];
}

function leaderWorkerSet(name: string, input: ManifestInput): string[] {
  return [
    'apiVersion: leaderworkerset.x-k8s.io/v1', 'kind: LeaderWorkerSet', 'metadata:', `  name: ${name}`, 'spec:', '  replicas: 1',
    '  leaderWorkerTemplate:', `    size: ${input.layout.nodes}`, '    restartPolicy: RecreateGroupOnPodRestart',
    '    leaderTemplate:', '      metadata:', '        labels:', `          app: ${name}`, '          role: leader', ...indent(6, podSpec(input, false, true)),
    '    workerTemplate:', '      metadata:', '        labels:', `          app: ${name}`, '          role: worker', ...indent(6, podSpec(input, true, false)),
  ];
}

function podSpec(input: ManifestInput, worker: boolean, serves: boolean): string[] {
  const { engine, layout, port, command, weightBytes } = input;
  const gpus = layout.devices / layout.nodes;
  return [
    'spec:', '  containers:', `    - name: ${engine}`, `      image: ${IMAGES[engine]}`, '      command:', '        - sh', '        - -c', `        - ${JSON.stringify(`exec ${command(worker)}`)}`,
    '      env:', '        - name: HF_TOKEN', '          valueFrom:', '            secretKeyRef:', '              name: hf-token', '              key: token', '              optional: true',
    '      resources:', '        limits:', `          nvidia.com/gpu: "${gpus}"`,
    ...(serves ? ['      ports:', `        - containerPort: ${port}`, ...indent(6, probes(port, weightBytes))] : []),
    '      volumeMounts:', '        - name: shared-memory', '          mountPath: /dev/shm', '        - name: model-cache', '          mountPath: /root/.cache/huggingface',
    '  volumes:', '    - name: shared-memory', '      emptyDir:', '        medium: Memory', `        sizeLimit: ${SHARED_MEMORY}`, '    - name: model-cache', '      emptyDir: {}',
  ];
}

function probes(port: number, weightBytes: number): string[] {
  const request = ['  httpGet:', '    path: /health', `    port: ${port}`];
  const patience = Math.max(60, Math.ceil((weightBytes / 1e9) * SECONDS_PER_GB / 10));
  return [
    'startupProbe:', ...request, '  periodSeconds: 10', `  failureThreshold: ${patience}`,
    'readinessProbe:', ...request, '  periodSeconds: 10',
    'livenessProbe:', ...request, '  periodSeconds: 30', '  failureThreshold: 4',
  ];
}

function service(name: string, { layout, port }: ManifestInput): string[] {
  return [
    'apiVersion: v1', 'kind: Service', 'metadata:', `  name: ${name}`, 'spec:', '  selector:', `    app: ${name}`, ...(layout.nodes > 1 ? ['    role: leader'] : []),
    '  ports:', '    - port: 80', `      targetPort: ${port}`,
  ];
}

const indent = (by: number, lines: readonly string[]): string[] => lines.map((line) => ' '.repeat(by) + line);
