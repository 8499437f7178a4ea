//! The operations: shape checks, forward and backward steps, cost.
