//! Names in SQL.

use datafusion::sql::sqlparser::ast::Ident;

/// A name as SQL understands it: in lower case unless it was quoted. DataFusion folds the letters of ASCII and no others, so that
/// `Ärger` and `ärger` are two names.
pub fn folded(name: &Ident) -> String {
    match name.quote_style {
        None => name.value.to_ascii_lowercase(),
        Some(_) => name.value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::planner::IdentNormalizer;

    use super::*;

    #[test]
    fn names_are_folded_as_datafusion_folds_them() {
        for text in ["Name", "Ärger", "İstanbul", "STRAẞE", "이름X", "a_B$1"] {
            for name in [Ident::new(text), Ident::with_quote('"', text)] {
                assert_eq!(folded(&name), IdentNormalizer::new(true).normalize(name.clone()), "{name}");
            }
        }
    }
}
