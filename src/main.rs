//! The `autobidet` command.

fn main() {}
