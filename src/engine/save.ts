// Writes a model's weights as the hub stores them: safetensors under the family's own names, with
// every declared rearrangement (transposed, fused, one tensor per expert) undone.
// What is held in a format that transformers has no plain tensor for (q8_0, FP8) becomes F32.

import { writeSafetensors } from '../checkpoint/index.js';
import { encodeFloat32 } from '../checkpoint/encode.js';
import type { SafetensorsStream, WritableTensor } from '../checkpoint/index.js';
import { parameters } from '../nn/index.js';
import type { Decoder, Parameter, Piece } from '../nn/index.js';
import { byteLength, elementCount, View } from '../tensor/index.js';
import type { Engine } from './engine.js';
import { checkpointPieces, publishedPrefixes } from './names.js';

type PlainType = 'f32' | 'f16' | 'bf16';
interface Part { readonly parameter: Parameter; readonly piece: Piece; readonly start: number }

/** The element type that a saved model's config should name. */
export function savedType(decoder: Decoder): PlainType {
  const types = parameters(decoder).filter(({ shape }) => shape.length > 1).map(({ tensor }) => tensor.dtype);
  const [first] = types;
  return (first === 'f16' || first === 'bf16') && types.every((type) => type === first) ? first : 'f32';
}

/** The config of a saved model: the text model's alone, with the type that is written and no quantisation. */
export function savedConfig(config: Record<string, unknown>, { decoder, family }: Engine): Record<string, unknown> {
  const text = config.text_config as Record<string, unknown> | undefined;
  const { quantization_config: _, torch_dtype: __, dtype: ___, ...kept } = text ?? config;
  const outer = config.architectures as string[] | undefined;
  const architectures = text ? outer?.map((name) => name.replace('ForConditionalGeneration', 'ForCausalLM')) : outer;
  return {
    ...kept, model_type: family.savedAs[String(kept.model_type)] ?? kept.model_type, ...(architectures ? { architectures } : {}),
    torch_dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[savedType(decoder)],
  };
}

/** Every stored tensor of the model, made one at a time as the stream is read. */
export function saveWeights(decoder: Decoder): SafetensorsStream {
  const type = savedType(decoder);
  const tensors: WritableTensor[] = [...storedParts(decoder)].map(([name, parts]) => ({
    name, dtype: type.toUpperCase(), shape: parts[0].piece.shape,
    data: async () => encodeFloat32(type, await assemble(parts, parts[0].piece.shape, (parameter) => values(parameter))),
  }));
  return writeSafetensors(tensors, { format: 'pt' });
}

/** Groups parameters' pieces by the stored tensor they come from. */
export function storedParts(decoder: Decoder): Map<string, Part[]> {
  const byName = new Map<string, Part[]>();
  for (const parameter of parameters(decoder)) {
    let start = 0;
    for (const piece of checkpointPieces(decoder, parameter, publishedPrefixes(decoder))) {
      byName.set(piece.name, [...(byName.get(piece.name) ?? []), { parameter, piece, start }]);
      start += piece.columns ? (elementCount(piece.shape) / piece.shape.at(-1)!) * piece.columns[1] : elementCount(piece.shape);
    }
  }
  return byName;
}

/** One stored tensor from the parameters that hold its parts: the inverse of loading. */
export async function assemble(parts: readonly Part[], shape: readonly number[], read: (parameter: Parameter) => Promise<Float32Array>): Promise<Float32Array> {
  const out = new Float32Array(elementCount(shape));
  const columns = shape.at(-1)!;
  const rows = shape.length > 1 ? shape.at(-2)! : 1;
  for (const { parameter, piece, start } of parts) {
    const from = await read(parameter);
    const [first, length] = piece.columns ?? [0, columns];
    const matrices = out.length / (rows * columns);
    for (let m = 0; m < matrices; m++) for (let r = 0; r < rows; r++) for (let c = 0; c < length; c++) {
      const at = start + m * rows * length + (piece.transposed ? c * rows + r : r * length + c);
      out[(m * rows + r) * columns + first + c] = from[at];
    }
  }
  return out;
}

async function values({ tensor }: Parameter): Promise<Float32Array> {
  const bytes = await tensor.device.backend.read(tensor.storage.id, 0, byteLength(tensor.spec));
  return new View(tensor.spec, bytes).toFloat32();
}
