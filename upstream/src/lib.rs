//! Nothing: the tests of this crate show what is wrong in the libraries that Bergmill stands on. See its `README.md`.
