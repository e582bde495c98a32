"""Measure the accuracy of models trained by `keras-s2s train`."""
