//! End-to-end tests live in `tests/it`; SQL with its answers in `slt/`; checks by other engines in `interop/`.
