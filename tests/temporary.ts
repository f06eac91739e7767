// Folders that tests write into; gone when the test file is done.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folders: string[] = [];
afterAll(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true }); });

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamella-'));
  folders.push(folder);
  return folder;
}
