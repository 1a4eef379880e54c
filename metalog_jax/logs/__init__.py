"""Raw logs to System folders, any log to records: host code, which imports no jax.

A log of a known system, in the order in which a line goes its way (`prepare`):
  files, simulated   bytes, decompressed, as chunks of whole lines
  formats            what a line looks like: one entry a system
  readers            chunks to columns: message, owner, time, label (backtracking: of
                     users' expressions); accounts: what did not fit
  masking            messages without variable parts (masksets: the rules)
  parse              templates mined from masked lines (Drain); templates: frozen ones
  events             lines to event ids
  sessions           events, on disk meanwhile, to sessions or windows
  labels             of files, by id or by ranges of times and lines (label_ranges)
  store              the System folder; manifests: its checksums
`systems.prepare` (jsonl, parallel) runs it; splits: who sees what; quotes: lines again.

Any log, of which nothing is known (`scan`, `prepare --system=auto`):
  records            all files in order of time (merge), as blocks of columns
  streams            one file: encodings, json_arrays and key_blocks to whole records;
                     multiline: which lines continue one
  choosing           which of the layouts a file has (keyed: JSON and tables; learned:
                     from a sample); levels, times (time_shapes)
  messages           records to templates: general_masks, then grouping (words)
  field_values, quantities, session_keys
                     small values, numbers that may grow, ids that group records

Logs that grow (`--follow`):
  live, tail         what has come to files, through rotation (rotated)
  open_sessions      which sessions have ended by the log's clock (clock)

For all of them: budgets (amounts as users write them), repeats (each thing once),
packed (tables as text).
"""
