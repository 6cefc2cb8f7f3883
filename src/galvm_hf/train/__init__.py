"""What the scripts in `training/` call: settings, tasks and how they are mixed, the loop, checkpoints, fine-tuning."""
