/** What the API answers: the types that its schemas (src/service) give, under the page's own names. */
import type { z } from 'zod';
import type {
  ArtifactList,
  executorList,
  JobDetail,
  jobList,
  logPage,
  PartsPage,
  planAnswer,
  QuarantinePage,
  ticket,
} from '#tokensieve/service/api.js';
import type { PairFacts, ScoredText, ScoreResponse } from '#tokensieve/service/scoring/schemas.js';

export type { JobDetail, JobSummary } from '#tokensieve/service/api.js';
export type { ModelFacts } from '#tokensieve/service/scoring/schemas.js';
export type { ArtifactList, PartsPage, ScoredText };

export type Executors = z.output<typeof executorList>;
export type JobList = z.output<typeof jobList>;
export type JobState = JobDetail['state'];
export type Progress = JobDetail['progress'];
export type Totals = NonNullable<JobDetail['totals']>;
export type Planned = z.output<typeof planAnswer>;
export type LogPage = z.output<typeof logPage>;
export type LogLine = LogPage['lines'][number];
export type JobPart = PartsPage['parts'][number];
export type Quarantine = QuarantinePage;
export type Ticket = z.output<typeof ticket>;
export type ModelPair = PairFacts;
export type ScoreAnswer = ScoreResponse;
