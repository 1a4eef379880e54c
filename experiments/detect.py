"""`metalog detect` as an absl binary: the same code."""

from experiments import main

if __name__ == '__main__':
  main.program('detect')
