"""Evidence: what a session's counts say against it, as sums that explain themselves.

Host room: numpy, scipy and scikit-learn.

  reference = evidence.fit(normals, anomalies, unlabelled)  # three evidence.Sample
  judged = reference.judge(counts)  # bags [m, V]
  judged.scores > reference.threshold
  judged.parts  # [m, 9] columns as in evidence.NAMES; a row sums to its score

Without any label: `evidence.unlabelled(counts, times)`.
"""

from metalog_jax.evidence.reference import NAMES, Reference, Sample, fit
from metalog_jax.evidence.unlabelled import Unlabelled, unlabelled

__all__ = ['NAMES', 'Reference', 'Sample', 'Unlabelled', 'fit', 'unlabelled']
