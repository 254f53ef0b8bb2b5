//! Known differences, each with its reason. They are counted and shown, but do not fail a run; an entry must be removed
//! when the results are equal again.

const DICTIONARY: &str = "Iceberg has no dictionaries, so such a column is plain text here";
const NOT_A_TYPE: &str = "a column of a type that Iceberg does not have";
const NOT_NULL: &str =
    "DataFusion's type depends on whether the column is NOT NULL, and results are announced nullable";
const FIELD: &str = "the query shows the name and nullability of the planned field, which a constant that replaces the field does not have";

/// The query, as reports name it, and why it differs.
pub const KNOWN: [(&str, &str); 17] = [
    ("array/array_to_string.slt:71", DICTIONARY),
    ("arrow_field.slt:94", FIELD),
    ("arrow_field.slt:105", FIELD),
    ("arrow_field.slt:111", FIELD),
    ("arrow_typeof.slt:183", NOT_A_TYPE),
    ("cast_to_type.slt:200", NOT_A_TYPE),
    ("coalesce.slt:257", DICTIONARY),
    ("coalesce.slt:275", DICTIONARY),
    ("coalesce.slt:284", DICTIONARY),
    ("coalesce.slt:293", DICTIONARY),
    ("coalesce.slt:448", NOT_A_TYPE),
    ("insert.slt:354", "DEFAULT needs format version 3 of Iceberg, and tables are made in version 2"),
    ("math.slt:871", NOT_NULL),
    ("min_max/large_list.slt:70", NOT_A_TYPE),
    ("min_max/large_list.slt:95", NOT_A_TYPE),
    // Bergmill's result is right, as the file says: NULL NOT IN (...) OR NULL NOT IN (...) is not true.
    ("null_aware_anti_join.slt:174", "a bug of DataFusion, which the file mentions"),
    ("run_end_encoded.slt:23", NOT_A_TYPE),
];

/// Why this query is known to differ.
pub(crate) fn reason(query: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == query).map(|(_, reason)| *reason)
}
