// A model with random weights as training begins with, for the benchmarks beside this file.

/** `from` imports a file of the built package; `random`: numbers from 0 to 1. */
export async function randomModel(from, config, gpu, random) {
  const [{ WebGpuBackend }, { Engine }, { Model }, { elementCount, fromArray }] = await Promise.all(['backends/webgpu/index.js', 'engine/index.js', 'model.js', 'tensor/index.js'].map(from));
  const weight = ({ shape, init }, on) => {
    const count = elementCount(shape);
    return fromArray(on, shape, 'std' in init ? Float32Array.from({ length: count }, () => (random() - 0.5) * init.std * 3.46) : new Float32Array(count).fill(init.constant));
  };
  return new Model(Engine.create(config, new WebGpuBackend(gpu), weight), config.model_type, config, undefined, undefined);
}
