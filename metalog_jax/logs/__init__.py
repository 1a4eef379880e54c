"""Raw logs to System folders: host code, which never imports jax.

Read it in the order in which a line goes its way:
  files      bytes, decompressed, as chunks of whole lines
  formats    what a line looks like: one entry a system
  readers    chunks to columns: message, owner, time, label; accounts: what did not fit
  masking    messages without their variable parts (masksets: the rules)
  parse      templates mined from masked lines, with Drain; templates: frozen ones
  events     lines to event ids
  sessions   events, on disk meanwhile, to sessions or windows; labels: of files
  store      the System folder; manifests: its checksums
`systems.prepare` (jsonl, parallel) runs it; splits: who sees what.
"""
