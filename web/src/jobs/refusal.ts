/** The field that a message of the API is about: `name: …` is about the name, all else about the pipeline. */
export const fieldOf = (message: string): 'name' | 'pipeline' =>
  /^(body\/)?name\b/i.test(message) ? 'name' : 'pipeline';
