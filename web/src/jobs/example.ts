/** What the form holds at first: a pipeline that is valid as it stands where the quickstart's data is the root. */
export const EXAMPLE = `# What to score and select. Paths are relative to a folder that the service may read.
# As it stands it fits the small corpus and models that fixtures/quickstart/make.mjs --bigrams makes.
version: 1

# Shards: .parquet, .jsonl, .jsonl.gz or .jsonl.zst with a column "text".
shards:
  - corpus/noisy/*.parquet

# The reference knows clean text. The current model is the one to be trained further.
reference: models/reference
current: models/current

# For a first look: only so many rows of each shard. Take it out for the whole.
corpus:
  limit: 200

sequence:
  # Tokens a row; at most what both models can read.
  length: 512

score:
  device: auto

# Keep the 60% of the tokens that the reference finds easier than the current model does.
select:
  method: slm
  keep: 0.6
`;
