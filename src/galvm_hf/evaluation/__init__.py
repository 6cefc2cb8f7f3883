"""How good the model is: measurements on galaxies it was not trained on, each with its interval."""
