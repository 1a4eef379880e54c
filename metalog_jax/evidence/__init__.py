"""Evidence: what a session's counts say against it, as sums that explain themselves.

Host room: numpy, scipy and scikit-learn.

  reference = evidence.fit(normals, anomalies, unlabelled)  # three evidence.Sample
  judged = reference.judge(counts)  # bags [m, V]
  judged.scores > reference.threshold
  judged.parts  # [m, J] columns as in evidence.NAMES; a row sums to its score

Without any label: `evidence.unlabelled(counts, times)`.
"""

from metalog_jax.evidence.evidences import OFF, can_see
from metalog_jax.evidence.explain import event_shares
from metalog_jax.evidence.fitting import fit
from metalog_jax.evidence.reference import NAMES, Reference
from metalog_jax.evidence.samples import Sample
from metalog_jax.evidence.unlabelled import NAMES as UNLABELLED_NAMES
from metalog_jax.evidence.unlabelled import Unlabelled, bulk, unlabelled

__all__ = [
  'NAMES',
  'OFF',
  'UNLABELLED_NAMES',
  'Reference',
  'Sample',
  'Unlabelled',
  'bulk',
  'can_see',
  'event_shares',
  'fit',
  'unlabelled',
]
