// `lamella diagram`: architectures as a picture, SVG to stdout or into a file.

import { writeFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import type { DiagramTheme } from '../analysis/index.js';
import { printJson } from './io.js';
import type { Io } from './io.js';
import { number } from './options.js';

interface DiagramFlags { output?: string; theme: DiagramTheme; columns?: number; json?: true }

export function registerDiagram(program: Command, io: Io): void {
  program.command('diagram')
    .description('draw architectures as SVG, marking what is special and what differs')
    .argument('<models...>', 'directories, .gguf or config.json files, hub ids or names of published releases')
    .option('-o, --output <file>', 'write the SVG into this file instead of to stdout')
    .addOption(new Option('--theme <name>', 'colours: light, dark, or print (none)').choices(['light', 'dark', 'print']).default('light'))
    .option('--columns <n>', 'models in a row (default: all of them up to four, else three)', number({ least: 1, whole: true }))
    .option('--json', 'print {svg, width, height} as JSON, with -o {file, width, height}')
    .addHelpText('after', `
Only config.json is read: no weights are needed, and none at all for published releases.
The picture is drawn from the calls that the definition makes when it runs.

Examples:
  $ lamella diagram gemma-3-27b -o gemma.svg
  $ lamella diagram gpt2-xl deepseek-v3 kimi-k2 -o three.svg --theme dark
  $ lamella diagram ./my-model/config.json > model.svg`)
    .action(async (models: string[], { output, theme, columns, json }: DiagramFlags) => {
      const { drawDiagram } = await import('../analysis/index.js');
      const { svg, width, height } = await drawDiagram(models, { theme, columns });
      if (output !== undefined) await writeFile(output, svg);
      if (json) return printJson(io, output === undefined ? { svg, width, height } : { file: output, width, height });
      if (output === undefined) io.stdout.write(svg);
      else io.stderr.write(`wrote ${output} (${width} x ${height})\n`);
    });
}
