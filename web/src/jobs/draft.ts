import { EXAMPLE } from './example.js';

/** What is being written, kept for the tab's session so that a reload loses nothing. */
export interface Draft {
  readonly name: string;
  readonly pipeline: string;
  /** Empty for the service's own choice. */
  readonly executor: string;
}

const KEY = 'tokensieve-draft';

export function loadDraft(): Draft {
  try {
    const saved = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Partial<Draft> | null;
    if (typeof saved?.name === 'string' && typeof saved.pipeline === 'string') {
      const { name, pipeline, executor } = saved;
      return { name, pipeline, executor: typeof executor === 'string' ? executor : '' };
    }
  } catch {
    // A damaged draft is no draft.
  }
  return { name: '', pipeline: EXAMPLE, executor: '' };
}

export const saveDraft = (draft: Draft): void => sessionStorage.setItem(KEY, JSON.stringify(draft));

export const forgetDraft = (): void => sessionStorage.removeItem(KEY);
