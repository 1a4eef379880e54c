# %% [markdown]
# # My logs: from lines to findings
#
# `ml.scan` reads any log and says what stands out, without labels and without
# training. Here it reads the public HDFS log (a sample of 2 % of its blocks) where
# the environment variable `METALOG_DATA` names the folder that holds it, and a
# **simulated** log of a block store of the same form where it does not.

# %%
import gzip
import os
import pathlib
import tempfile

import metalog_jax as ml

folder = pathlib.Path(tempfile.mkdtemp())
if data := os.environ.get('METALOG_DATA'):
  log = pathlib.Path(data) / 'hdfs' / 'HDFS_2pct.log.gz'
  lines = gzip.open(log, 'rt').readlines()
  labels = log.parent / 'anomaly_label.csv'
else:
  ml.simulate(
    system='blockstore', sessions=3000, anomalies=0.03, seed=1, out=folder / 'raw'
  )
  log = folder / 'raw' / 'blockstore.log'
  lines = log.read_text().splitlines(keepends=True)
  labels = log.parent / 'anomaly_label.csv'
print(f'{"real" if data else "simulated"}: {len(lines):,} lines of {log.name}')
print(lines[0].rstrip())

# %% [markdown]
# No flag is needed: the format, the times and the id that groups lines are found. What
# comes back is a list of findings, the most important first; a notebook shows it as a
# table.

# %%
found = ml.scan(log)
found

# %% [markdown]
# Each finding has its place, its numbers and lines as they stand in the log.

# %%
first = found[0]
print(first.kind, '|', first.template)
print(first.why)
for sample in first.samples[:2]:
  print(f'  line {sample["line"]:,}: {sample["text"][:90]}')

# %% [markdown]
# `to_polars()` gives one row a finding, `plot()` the records along the log with the
# places of the findings.

# %%
frame = found.to_polars()
print(frame.select('kind', 'severity', 'count', 'expected', 'p_value').head())
found.plot()

# %% [markdown]
# ## Beside a good time
#
# What is in all of a log is not found in it. If some log is known to be good, or is
# taken for it, give it as the baseline: here the first 30 % of the lines.

# %%
cut = int(0.3 * len(lines))
(folder / 'good.log').write_text(''.join(lines[:cut]))
(folder / 'today.log').write_text(''.join(lines[cut:]))
beside = ml.scan(folder / 'today.log', baseline=folder / 'good.log')
beside

# %% [markdown]
# ## With labels
#
# The blocks of this log have labels. The summary says how well scores and verdicts that
# have not seen them agree with them; then sessions are judged again by what sets the
# labelled ones apart, and findings that are labelled normal are no longer active.

# %%
judged = ml.scan(log, labels=labels)
about = judged.summary['labels']
names = ('judged', 'anomalies', 'precision', 'recall', 'auprc')
print({name: about[name] for name in names})
share = about['anomalies'] / about['judged']  # what a guess reaches
assert 0 < 5 * share < about['auprc']

# %% [markdown]
# What is known need not be told twice. A file of lines `start,end`, `file:line-line` or
# `id,label`, with ids of sessions, windows or findings, serves the same way: here the
# first finding is called normal, and with it the sessions that are like it.

# %%
(folder / 'known.csv').write_text(f'{first.finding_id},normal\n')
again = ml.scan(log, labels=folder / 'known.csv')
print(again.warnings[0])
assert first.finding_id not in {item.finding_id for item in again.active}
