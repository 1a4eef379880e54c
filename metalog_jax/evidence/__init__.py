"""Evidence: what a session's counts say against it, as sums that explain themselves.

Host room: numpy, scipy and scikit-learn.
"""

from metalog_jax.evidence.unlabelled import Unlabelled, unlabelled

__all__ = ['Unlabelled', 'unlabelled']
