"""Masked lines of any kind, the real logs' messages, and drain3 as their judge."""

import csv
import gzip
import io
import pathlib

import polars as pl
from drain3 import masking as drain3_masking
from drain3 import template_miner, template_miner_config
from hypothesis import strategies as st

from metalog_jax.logs import accounts, files, formats, masksets, readers

WORDS = st.sampled_from('a b c d <NUM> e7 x9 <*>'.split())
MASKED = st.lists(st.lists(WORDS, max_size=5).map(' '.join), min_size=1, max_size=40)
SETTINGS = st.builds(
  masksets.MaskSet,
  rules=st.just(()),
  sim_th=st.sampled_from([0.1, 0.4, 0.5, 0.7, 0.87, 1.0]),
  depth=st.integers(3, 6),
  max_children=st.sampled_from([2, 3, 100]),
)

LOGHUB = {
  'hdfs': 'HDFS',
  'bgl': 'BGL',
  'thunderbird': 'Thunderbird',
  'openstack': 'OpenStack',
}
RAW = {
  'hdfs': 'hdfs/HDFS_2pct.log.gz',
  'bgl': 'bgl/BGL_first10000.log.gz',
  'openstack': 'openstack/nova-sample.log.gz',
}


def loghub(data: pathlib.Path, system: str) -> tuple[list[str], list[str]]:
  """The messages of a 2,000-line sample, and the true event of each."""
  name = f'loghub/{LOGHUB[system]}_2k.log_structured.csv.gz'
  with gzip.open(data / name) as file:
    rows = list(csv.DictReader(io.TextIOWrapper(file, 'utf-8')))
  return [row['Content'] for row in rows], [row['EventId'] for row in rows]


def read(paths, format, account, group='', chunk_bytes=0):
  """Yields the lines of some files, chunk by chunk, and counts them."""
  for chunk in files.read_chunks(paths, len, chunk_bytes):
    lines = readers.parse(chunk, format, group)
    account.add(lines.tally)
    yield lines
  account.check()


def raw(data: pathlib.Path, system: str) -> pl.Series:
  """The messages of a raw log."""
  format = formats.FORMATS[system]
  lines = read([str(data / RAW[system])], format, accounts.Account('100%', format))
  return pl.concat([chunk.content for chunk in lines])


def miner(maskset: masksets.MaskSet) -> template_miner.TemplateMiner:
  """drain3 with the settings of a mask set."""
  config = template_miner_config.TemplateMinerConfig()
  config.drain_sim_th = maskset.sim_th
  config.drain_depth = maskset.depth
  config.drain_max_children = maskset.max_children
  config.drain_max_clusters = maskset.max_clusters
  config.drain_extra_delimiters = list(maskset.delimiters)
  config.parametrize_numeric_tokens = maskset.numeric_tokens
  config.mask_prefix, config.mask_suffix = maskset.prefix, maskset.suffix
  config.masking_instructions = [
    drain3_masking.MaskingInstruction(pattern, name) for pattern, name in maskset.rules
  ]
  return template_miner.TemplateMiner(config=config)


def grouping_accuracy(found: list, true: list) -> float:
  """loghub's: the share of lines whose group holds exactly the true group's lines."""
  groups, truth = {}, {}
  for line, (one, other) in enumerate(zip(found, true, strict=True)):
    groups.setdefault(one, set()).add(line)
    truth.setdefault(other, set()).add(line)
  right = [g for g in groups.values() if g == truth[true[next(iter(g))]]]
  return sum(map(len, right)) / len(true)
