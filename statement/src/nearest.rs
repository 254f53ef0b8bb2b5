//! "Did you mean": finds the known name that a wrong one most likely misspells.

/// The known name that is nearest to `name` by Levenshtein distance, ignoring case; `None` if the distance exceeds a
/// third of the letters plus one.
pub fn nearest<N: AsRef<str> + Ord>(name: &str, known: impl IntoIterator<Item = N>) -> Option<N> {
    let lower = name.to_lowercase();
    let tolerated = 1 + name.chars().count() / 3;
    let scored = known.into_iter().map(|k| (strsim::levenshtein(&lower, &k.as_ref().to_lowercase()), k));
    scored.filter(|(distance, _)| *distance <= tolerated).min().map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_near_name_is_suggested() {
        let known = ["raw.events", "raw.reviews", "processed.events"];
        let check = |name: &str, expected: Option<&str>| assert_eq!(nearest(name, known), expected, "{name}");
        check("raw.evnts", Some("raw.events"));
        check("RAW.EVENTS", Some("raw.events"));
        check("processd.event", Some("processed.events"));
        check("raw.x", None);
        check("nothing.like.it", None);
        assert_eq!(nearest("ouput", ["output", "export"]), Some("output"));
        assert_eq!(nearest("zebra", ["output", "export"]), None);
    }
}
