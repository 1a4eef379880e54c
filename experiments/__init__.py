"""Research on the library: programs, tables, studies and benchmarks.

Importing it makes the released MetaLog known to programs, as `metalog_released`.
"""

from experiments.released import detector
from metalog_jax.detectors import registry

registry.DETECTORS['metalog_released'] = detector
