//! Pointers: which metadata file of a table or view is the current one, and how that changes.
//!
//! Nothing here knows what a table is made of beyond its name and the metadata that goes with a change.
pub(crate) mod address;
pub(crate) mod layout;
pub(crate) mod missing;
pub(crate) mod rest;
pub(crate) mod sql;
pub(crate) mod store;
