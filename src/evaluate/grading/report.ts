/** What came of a grading. */
import type { FileGrades } from './grade-file.js';
import type { Comparison } from './paired.js';

export interface GradeReport {
  readonly grades: FileGrades;
  /** With a second file. */
  readonly against: { readonly grades: FileGrades; readonly comparison: Comparison } | null;
}
