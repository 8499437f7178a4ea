//! The training loop, schedules, checkpoints.

mod checkpoint;
mod folder;
mod schedule;

pub use checkpoint::Checkpoint;
pub use folder::RunFolder;
pub use schedule::Timetable;
