//! Cutting a script into statements.

/// The statements of a text, without the semicolons between them. A semicolon in quotes or in a comment cuts nothing.
/// The last one is `complete` when a semicolon ended it.
pub fn split(text: &str) -> (Vec<String>, bool) {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map_or(rest.len(), |end| end + 4)
        } else if c == '\'' || c == '"' {
            rest[1..].find(c).map_or(rest.len(), |end| end + 2)
        } else {
            c.len_utf8()
        };
        let (piece, after) = rest.split_at(taken);
        rest = after;
        if c == ';' {
            push(&mut statements, &mut current);
        } else {
            current.push_str(piece);
        }
    }
    let complete = current.trim().is_empty();
    push(&mut statements, &mut current);
    (statements, complete)
}

fn push(statements: &mut Vec<String>, current: &mut String) {
    let statement = std::mem::take(current);
    if !statement.trim().is_empty() {
        statements.push(statement.trim().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn semicolons_in_quotes_and_comments_cut_nothing() {
        let check = |text: &str, expected: &[&str], complete: bool| {
            assert_eq!(split(text), (expected.iter().map(ToString::to_string).collect(), complete), "{text}");
        };
        check("select 1; select 2", &["select 1", "select 2"], false);
        check("select ';', \"a;b\" -- x; y\n, 2;", &["select ';', \"a;b\" -- x; y\n, 2"], true);
        check("select 'it''s;' /* ; */ ;;", &["select 'it''s;' /* ; */"], true);
        check("select '배송;", &["select '배송;"], false);
        check(" \n", &[], true);
    }
}
