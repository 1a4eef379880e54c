"""Raw logs of SIMULATED systems: four grammars in data, one sampler, one renderer.

All text is invented. `simulate` writes a log in the public format of a real system.
"""

from metalog_jax.simulation.grammar import SYSTEMS
from metalog_jax.simulation.writer import Simulated, simulate

__all__ = ['SYSTEMS', 'Simulated', 'simulate']
