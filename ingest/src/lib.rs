//! Reading files as record batches.
