import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { firstLine } from '../../errors.js';
import { localStorage, syncFolders } from '../../storage/local.js';
import { type JobFiles, jobFiles } from './job-files.js';
import { JOB_ID } from './job-id.js';
import { type JobRecord, jobRecordSchema } from './record.js';

/**
 * The folder of all jobs: one folder a job, named by its id. A job appears whole and goes whole, by one rename; what a
 * killed service left half made or half removed is swept at the next start.
 */
export interface JobStore {
  files(id: string): JobFiles;
  /** Every job there is. `warn` hears of folders that hold no readable job; they are left alone. */
  load(warn: (message: string) => void): Promise<JobRecord[]>;
  create(record: JobRecord, pipeline: string): Promise<void>;
  /** Replaces job.json, durably. */
  save(record: JobRecord): Promise<void>;
  /** The pipeline as it was submitted. */
  pipeline(id: string): Promise<string>;
  remove(id: string): Promise<void>;
}

const HALF_MADE = '.new-';
const HALF_GONE = '.gone-';

export function openStore(folder: string): JobStore {
  const storage = localStorage();
  const files = (id: string): JobFiles => {
    // Ids are checked where they come in; a path is never built from anything else.
    if (!JOB_ID.test(id)) throw new Error(`not a job id: ${id}`);
    return jobFiles(join(folder, id));
  };

  const save = async (record: JobRecord): Promise<void> => {
    const staged = await storage.stage(files(record.id).record);
    await staged.write(Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
    await staged.commit();
  };

  return {
    files,
    save,
    async load(warn) {
      const firstMade = await mkdir(folder, { recursive: true });
      if (firstMade !== undefined) await syncFolders(folder, firstMade);
      const records: JobRecord[] = [];
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        const { name } = entry;
        if (name.startsWith(HALF_MADE) || name.startsWith(HALF_GONE)) {
          await rm(join(folder, name), { recursive: true, force: true });
        } else if (entry.isDirectory() && JOB_ID.test(name)) {
          try {
            const record = jobRecordSchema.parse(JSON.parse(await readFile(files(name).record, 'utf8')));
            if (record.id !== name) throw new Error(`job.json is of ${record.id}`);
            records.push(record);
          } catch (error) {
            warn(`${join(folder, name)}: left alone, its job.json cannot be read: ${firstLine(error)}`);
          }
        }
      }
      return records;
    },
    async create(record, pipeline) {
      const { folder: final } = files(record.id);
      const half = jobFiles(join(folder, `${HALF_MADE}${record.id}`));
      await mkdir(half.folder, { recursive: true });
      await writeDurably(half.pipeline, pipeline);
      await writeDurably(half.record, `${JSON.stringify(record, null, 2)}\n`);
      await rename(half.folder, final);
      await syncFolders(folder, undefined);
    },
    pipeline: (id) => readFile(files(id).pipeline, 'utf8'),
    async remove(id) {
      const gone = join(folder, `${HALF_GONE}${id}`);
      await rename(files(id).folder, gone);
      await rm(gone, { recursive: true, force: true });
    },
  };
}

async function writeDurably(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
