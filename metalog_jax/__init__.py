"""Log anomaly detection with meta-learning across systems, in JAX."""

__version__ = '0.1.0'
