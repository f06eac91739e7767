// Which part of a model is running: set by modules, read by calls for their error messages.

let path = '';

export function currentPath(): string {
  return path;
}

export function withPath<T>(inner: string, body: () => T): T {
  const outer = path;
  path = inner;
  try {
    return body();
  } finally {
    path = outer;
  }
}
