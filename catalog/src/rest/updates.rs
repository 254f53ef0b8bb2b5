//! Updates in the words of a server.
//!
//! The iceberg crate tells of a schema, spec, order or version that it adds, and then makes "the one added last" (-1) the
//! current one, also when it was there before. To Iceberg's Java, which many servers are built on, nothing was added then, and -1
//! is an error (`TableMetadata.Builder.addSchemaInternal` and its like). So what was there is not sent, and is called by its id.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// "The one added last".
const LAST_ADDED: i64 = -1;

/// What is added: the update and where in it the id is; the updates that name it, and where.
struct Added {
    action: &'static str,
    id: &'static str,
    named_in: &'static [(&'static str, &'static str)],
}

const ADDED: [Added; 4] = [
    Added {
        action: "add-schema",
        id: "/schema/schema-id",
        named_in: &[("set-current-schema", "/schema-id"), ("add-view-version", "/view-version/schema-id")],
    },
    Added { action: "add-spec", id: "/spec/spec-id", named_in: &[("set-default-spec", "/spec-id")] },
    Added {
        action: "add-sort-order",
        id: "/sort-order/order-id",
        named_in: &[("set-default-sort-order", "/sort-order-id")],
    },
    Added {
        action: "add-view-version",
        id: "/view-version/version-id",
        named_in: &[("set-current-view-version", "/view-version-id")],
    },
];

/// The updates as a server takes them; `is_there` tells whether the base has what an update adds, by the update's action and
/// the id.
pub(super) fn as_told(updates: &impl Serialize, is_there: impl Fn(&str, i64) -> bool) -> Result<Vec<Value>> {
    let internal = |e| Error::new(ErrorKind::Internal, "writing updates for a REST catalog").with_source(e);
    let updates: Vec<Value> = serde_json::to_value(updates).and_then(serde_json::from_value).map_err(internal)?;
    // By action, the id of what was added last if it was there before.
    let mut last = BTreeMap::<&str, Option<i64>>::new();
    let mut told = Vec::with_capacity(updates.len());
    for mut update in updates {
        let action = update["action"].as_str().unwrap_or_default().to_string();
        for added in &ADDED {
            let names = added.named_in.iter().filter(|(by, _)| *by == action);
            for (_, at) in names {
                let (Some(Some(id)), Some(named)) = (last.get(added.action), update.pointer_mut(at)) else { continue };
                if named.as_i64() == Some(LAST_ADDED) {
                    *named = (*id).into();
                }
            }
        }
        if let Some(added) = ADDED.iter().find(|added| added.action == action) {
            let id = update.pointer(added.id).and_then(Value::as_i64);
            let known = id.filter(|id| is_there(&action, *id));
            last.insert(added.action, known);
            if known.is_some() {
                continue;
            }
        }
        told.push(update);
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_there_is_called_by_its_id() {
        let check = |updates: Value, expected: Value| {
            let told = as_told(&updates, |action, id| match action {
                "add-schema" | "add-spec" | "add-sort-order" | "add-view-version" => id < 3,
                _ => false,
            });
            assert_eq!(Value::from(told.unwrap()), expected);
        };
        let current = |id: i64| json!({"action": "set-current-schema", "schema-id": id});
        let add = |id: i64| json!({"action": "add-schema", "schema": {"schema-id": id}});
        check(json!([add(3), current(-1)]), json!([add(3), current(-1)]));
        check(json!([add(2), current(-1)]), json!([current(2)]));
        check(json!([add(2), current(-1), add(4), current(-1)]), json!([current(2), add(4), current(-1)]));
        check(json!([current(1)]), json!([current(1)]));
        check(
            json!([{"action": "add-spec", "spec": {"spec-id": 1}}, {"action": "set-default-spec", "spec-id": -1}]),
            json!([{"action": "set-default-spec", "spec-id": 1}]),
        );
        check(
            json!([
                {"action": "add-sort-order", "sort-order": {"order-id": 1}},
                {"action": "set-default-sort-order", "sort-order-id": -1},
            ]),
            json!([{"action": "set-default-sort-order", "sort-order-id": 1}]),
        );
        let version = |id: i64, schema: i64| json!({"action": "add-view-version", "view-version": {"version-id": id, "schema-id": schema}});
        let set = |id: i64| json!({"action": "set-current-view-version", "view-version-id": id});
        check(json!([add(1), version(5, -1), set(-1)]), json!([version(5, 1), set(-1)]));
        check(json!([add(1), version(2, 1), set(-1)]), json!([set(2)]));
        check(json!([add(1), version(2, 1)]), json!([]));
    }
}
