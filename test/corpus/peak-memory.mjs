// A child process of memory.test.ts: reads one shard to its end and prints rows, text bytes and peak RSS in MB.
import { formatOf } from '#tokensieve/corpus/expand.js';
import { planShard, readShard } from '#tokensieve/corpus/read-shard.js';
import { localStorage } from '#tokensieve/storage/local.js';

const path = process.argv[2] ?? '';
const format = formatOf(path);
if (format === null) throw new Error(path);
const options = { columns: { text: 'text', keep: ['url'] }, maxTextBytes: 2 ** 24, partBytes: 2 ** 25 };
const storage = localStorage();
const plan = await planShard(storage, { path, name: 'shard', format }, options);
let rows = 0;
let bytes = 0;
for await (const part of readShard(storage, plan, options)) {
  for await (const row of part.rows) {
    rows++;
    if (row.kind === 'document') bytes += row.textBytes;
  }
}
console.log(JSON.stringify({ rows, bytes, megabytes: process.resourceUsage().maxRSS / 1024 }));
