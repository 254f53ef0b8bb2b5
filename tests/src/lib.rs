//! Empty: end-to-end tests are in `tests/it`, SQL with expected results in `slt/`, plans in `plans/`, checks by other
//! engines in `interop/`.
