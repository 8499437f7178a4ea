//! The training loop, schedules, checkpoints.

mod budget;
mod checkpoint;
mod complexity;
mod diagnose;
mod estimator;
mod feed;
mod folder;
mod latest;
mod network;
mod schedule;
mod step;
mod summary;
mod targets;
mod trainer;

pub use checkpoint::Checkpoint;
pub use estimator::{EstimatorNetwork, ImageBetas, Learner};
pub use feed::{Scalars, feed, first_weights};
pub use folder::{FolderLock, RunFolder};
pub use network::{TrainNetwork, training_plan};
pub use schedule::Timetable;
pub use summary::write_report;
pub use targets::{Targets, targets, targets_of};
pub use trainer::{Job, METRIC, Outcome, train};
