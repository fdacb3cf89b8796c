// Writes the JSON schemas beside this file, and docs/settings.md, from their one source in src/. Run after a build:
//   node schemas/generate.mjs
// A test fails where a file here is not what this would write.
import { readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { auditSchema } from '../dist/audit/report.js';
import { pipelineFileSchema } from '../dist/pipeline/stages.js';
import { exportSchema } from '../dist/export/settings.js';
import { importSchema } from '../dist/import/settings.js';
import { inputSchema } from '../dist/config/shorthand.js';
import { datasetSchemas } from '../dist/dataset/schemas-json.js';
import { gradeSettings } from '../dist/evaluate/grading/settings.js';
import { loglikelihoodSettings } from '../dist/evaluate/loglikelihood-settings.js';
import { exportIndexSchema, exportManifestSchema } from '../dist/export/manifest.js';
import { openApiDocument } from '../dist/service/openapi-document.js';
import { trainSchema } from '../dist/train/settings.js';
import { settingsPage } from './settings-page.mjs';

/** Every schema of the package, by file name. */
export const schemas = () => ({
  ...datasetSchemas(),
  'pipeline.json': { title: 'tokensieve pipeline', ...inputSchema(pipelineFileSchema) },
  'audit.json': z.toJSONSchema(auditSchema),
  'export.json': { title: 'tokensieve export', ...inputSchema(exportSchema) },
  'import.json': { title: 'tokensieve import', ...inputSchema(importSchema) },
  'export-manifest.schema.json': z.toJSONSchema(exportManifestSchema),
  'export-index.schema.json': z.toJSONSchema(exportIndexSchema),
  'grade.json': { title: 'tokensieve grade', ...inputSchema(gradeSettings) },
  'loglikelihood.json': { title: 'tokensieve loglikelihood', ...inputSchema(loglikelihoodSettings) },
  'train.json': { title: 'tokensieve train', ...inputSchema(trainSchema) },
});

/** The settings as a page, docs/settings.md. */
export const settingsReference = () => settingsPage(inputSchema(pipelineFileSchema));

/** The document of the service's API, openapi.json. */
export const openApi = () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return openApiDocument(version);
};

/** The text of a schema file. @param {unknown} schema */
export const textOf = (schema) => `${JSON.stringify(schema, null, 2)}\n`;

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const [name, schema] of Object.entries({ ...schemas(), 'openapi.json': await openApi() })) {
    writeFileSync(new URL(name, import.meta.url), textOf(schema));
  }
  writeFileSync(new URL('../docs/settings.md', import.meta.url), settingsReference());
}
