// Modules of the built package. LAMELLA_DIST names another build, to compare two of them.

import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const distFolder = process.env.LAMELLA_DIST ? resolve(process.env.LAMELLA_DIST) : fileURLToPath(new URL('../../dist', import.meta.url));

export const fromDist = (file) => import(new URL(file, pathToFileURL(`${distFolder}/`)).href);
