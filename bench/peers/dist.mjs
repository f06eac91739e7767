// Modules of the built package. LAMELLA_DIST names another build, to compare two of them.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = process.env.LAMELLA_DIST ? pathToFileURL(`${resolve(process.env.LAMELLA_DIST)}/`) : new URL('../../dist/', import.meta.url);

export const fromDist = (file) => import(new URL(file, root).href);
