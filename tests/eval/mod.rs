//! The metrics against the definitions.
