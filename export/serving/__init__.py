"""Templates of what runs a model server: `serving_files` and `saved_model` fill them in."""
