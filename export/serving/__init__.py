"""Templates of the files for a model server, for `serving_files` and `saved_model`."""
