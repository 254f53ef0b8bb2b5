//! The possible truth values of a predicate over the rows of a file.

/// The SQL truth values that a predicate may have for some row: a value that is not possible is ruled out for all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The predicate may be true for a row (inclusive projection).
    pub(crate) is_true: bool,
    /// The predicate may be false for a row.
    pub(crate) is_false: bool,
    /// The predicate may be NULL for a row, which then does not match.
    pub(crate) is_null: bool,
}

impl Outcome {
    pub(crate) const UNKNOWN: Self = Self { is_true: true, is_false: true, is_null: true };

    /// The outcome of an empty conjunction.
    pub(super) const ALWAYS: Self = Self { is_true: true, is_false: false, is_null: false };

    pub(super) const NEVER: Self = Self { is_true: false, is_false: true, is_null: false };

    /// Whether all rows match (strict projection).
    pub(crate) fn fully_matches(self) -> bool {
        !self.is_false && !self.is_null
    }

    pub(super) fn not(self) -> Self {
        Self { is_true: self.is_false, is_false: self.is_true, ..self }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            is_true: self.is_true && other.is_true,
            is_false: self.is_false || other.is_false,
            is_null: (self.is_null && (other.is_true || other.is_null))
                || (other.is_null && (self.is_true || self.is_null)),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_combine_as_sql_does() {
        let only = |value: Option<bool>| Outcome {
            is_true: value == Some(true),
            is_false: value == Some(false),
            is_null: value.is_none(),
        };
        let values = [Some(true), Some(false), None];
        for (a, b) in values.into_iter().flat_map(|a| values.map(|b| (a, b))) {
            let and = match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            assert_eq!((only(a).and(only(b)), only(a).or(only(b))), (only(and), only(or)), "{a:?} {b:?}");
        }
        assert_eq!(Outcome::UNKNOWN.not(), Outcome::UNKNOWN);
        assert!(only(Some(true)).fully_matches());
        assert!(!only(None).fully_matches() && !Outcome::UNKNOWN.fully_matches());
    }
}
