"""Survey files in, training samples out: readers and simulation. Nothing here knows the model."""
