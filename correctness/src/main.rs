//! `bergmill-correctness`: compares the answers of clusters with those of other engines, and prints where they differ.

fn main() {}
