"""The parts of `experiments.meta_gradients`: what is measured, and what is shown."""
