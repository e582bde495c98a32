"""The command line `keras-s2s`.

Its modules import TensorFlow only when a command needs it, so that `--help` and mistakes are
answered at once.
"""
