import { addressOf, jobPath, postJson } from '../api/request.js';
import type { Ticket } from '../api/types.js';

/**
 * An address of the job's report that works without the Authorization header for some minutes. A ticket is asked
 * for at each use: it is short-lived on purpose.
 */
export async function reportAddress(id: string): Promise<string> {
  return addressOf((await postJson<Ticket>(`${jobPath(id)}/tickets`, {})).url);
}

/** Opens a tab within the click, as browsers demand, and sends it on when the ticket is there. */
export async function openInTab(address: () => Promise<string>): Promise<void> {
  const tab = open('about:blank', '_blank');
  try {
    const url = await address();
    if (tab === null) location.assign(url);
    else {
      tab.opener = null;
      tab.location.replace(url);
    }
  } catch (error) {
    tab?.close();
    throw error;
  }
}

/** Opens or downloads one of the job's files, by a ticket too. */
export async function openArtifact(id: string, path: string): Promise<void> {
  const { url } = await postJson<Ticket>(`${jobPath(id)}/tickets`, { path });
  const link = document.createElement('a');
  link.href = addressOf(url);
  link.download = path.split('/').at(-1) ?? path;
  link.click();
}
