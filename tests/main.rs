//! All integration tests in one binary, so that the crate links once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod data;
mod ops;
mod report;
