//! Names in manifests.

/// The name of a partition field in manifests, which are Avro files: characters other than ASCII letters, digits and
/// `_` are written as Iceberg's reference implementation writes them in Avro, `Ä` as `_xC4`.
pub(crate) fn avro_name(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if written.is_empty() => written.extend(['_', c]),
            c if c.is_ascii_alphanumeric() || c == '_' => written.push(c),
            c => written.push_str(&format!("_x{:X}", u32::from(c))),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use bergmill_statement::folded;
    use datafusion::sql::planner::IdentNormalizer;
    use datafusion::sql::sqlparser::ast::Ident;

    use super::*;

    #[test]
    fn names_in_avro_are_those_of_the_reference() {
        for (name, expected) in [
            ("ts_day", "ts_day"),
            ("Ärger", "_xC4rger"),
            ("s.y", "s_x2Ey"),
            ("9x", "_9x"),
            ("이름_1", "_xC774_xB984_1"),
        ] {
            assert_eq!(avro_name(name), expected);
            assert_eq!(avro_name(expected), expected);
        }
    }

    #[test]
    fn names_are_folded_as_datafusion_folds_them() {
        for text in ["Name", "Ärger", "İstanbul", "STRAẞE", "이름X", "a_B$1"] {
            for name in [Ident::new(text), Ident::with_quote('"', text)] {
                assert_eq!(folded(&name), IdentNormalizer::new(true).normalize(name.clone()), "{name}");
            }
        }
    }
}
