// Reads vitest's JSON report: names tests that were skipped without need, and prints as the last
// line `N passed, N failed`. Exits with 1 when anything failed or was skipped without need.
//
// Tests may be skipped only for want of ../shared, or of a newer Node where a browser runs the same
// (tests/browser/memory64.test.ts), and must say so in their title.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [report] = process.argv.slice(2);
if (!report || !existsSync(report)) {
  console.error('there is no test report: the tests did not run to their end');
  console.log('0 passed, 1 failed');
  process.exit(1);
}

const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
const tests = testResults.flatMap(({ name, assertionResults }) => assertionResults.map(({ status, fullName }) => ({ status, title: `${name.replace(`${root}/`, '')}: ${fullName}` })));
// A file that cannot be loaded has no tests to fail.
const brokenFiles = testResults.filter(({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'));
const passed = tests.filter(({ status }) => status === 'passed').length;
const failed = tests.filter(({ status }) => status === 'failed').length + brokenFiles.length;
const wants = [...(existsSync(join(root, '../shared')) ? [] : ['../shared']), ...(Number(process.versions.node.split('.')[0]) < 24 ? ['Node 24'] : [])];
const mayBeSkipped = ({ title }) => wants.some((want) => title.includes(want));
const skipped = tests.filter(({ status }) => status !== 'passed' && status !== 'failed');
const needless = skipped.filter((test) => !mayBeSkipped(test));

for (const { name } of brokenFiles) console.error(`could not be run: ${name}`);
for (const { title } of needless) console.error(`skipped without need: ${title}`);
if (skipped.length > needless.length) console.log(`${skipped.length - needless.length} skipped for want of ${wants.join(' or ')}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || needless.length > 0 || passed === 0 ? 1 : 0);
