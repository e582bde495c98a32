"""How good the models of `keras-s2s train` are."""
