"""The command line `keras-s2s`.

It stands beside `keras_s2s`, not in it: importing that package takes seconds, because Keras and
TensorFlow come with it, and help and mistakes are to be answered at once.
"""
