//! Empty: this crate has only tests, which show bugs of the libraries that Bergmill is built on. See its `README.md`.
