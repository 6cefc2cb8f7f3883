"""The ways in: the command line and what stands behind its commands."""
