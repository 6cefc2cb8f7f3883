"""How good the features are: measurements on labelled galaxies."""
