//! The training loop, schedules, checkpoints.
