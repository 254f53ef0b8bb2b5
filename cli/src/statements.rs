//! Cutting a script into statements.

/// The statements of a text, without the semicolons between them. A semicolon in quotes or in a comment cuts nothing, and
/// comments alone are no statement. The last one is `complete` when a semicolon ended it.
pub fn split(text: &str) -> (Vec<String>, bool) {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut says_something = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let comment = if rest.starts_with("--") {
            Some(rest.find('\n').unwrap_or(rest.len()))
        } else {
            rest.strip_prefix("/*").map(|comment| comment.find("*/").map_or(rest.len(), |end| end + 4))
        };
        let taken = comment.unwrap_or_else(|| match c {
            '\'' | '"' => rest[1..].find(c).map_or(rest.len(), |end| end + 2),
            _ => c.len_utf8(),
        });
        let (piece, after) = rest.split_at(taken);
        rest = after;
        if c == ';' {
            push(&mut statements, &mut current, &mut says_something);
        } else {
            current.push_str(piece);
            says_something |= comment.is_none() && !c.is_whitespace();
        }
    }
    let complete = !says_something;
    push(&mut statements, &mut current, &mut says_something);
    (statements, complete)
}

fn push(statements: &mut Vec<String>, current: &mut String, says_something: &mut bool) {
    let statement = std::mem::take(current);
    if std::mem::take(says_something) {
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
        check("-- first\nselect 1; /* ; */; -- done", &["-- first\nselect 1"], true);
        check("select 1 -- done", &["select 1 -- done"], false);
    }
}
