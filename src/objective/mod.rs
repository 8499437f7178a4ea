//! Training objectives built from operations.
