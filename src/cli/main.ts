#!/usr/bin/env node
// The `lamella` command.

import { main } from './program.js';

process.exitCode = await main(process.argv.slice(2));
