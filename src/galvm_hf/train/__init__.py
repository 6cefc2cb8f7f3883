"""What the scripts in `training/` call: stamps in memory, objectives, the loop, checkpoints."""
