/** The config of the release called `name`, or of the Qwen3 of that size; `findPublished` is the built package's. Throws where there is none. */
export function publishedShape(findPublished, name) {
  const release = findPublished(name) ?? findPublished(`qwen3-${name}`);
  if (!release) throw new Error(`no published shape is called ${name}`);
  return release.config;
}
