//! Updates in the form that servers accept.
//!
//! The iceberg crate has an update for each schema, spec, order or version that it adds, and then makes "the one added
//! last" (-1) current, even if it existed before. In Iceberg's Java, which many servers are built on, nothing was added
//! in that case, and -1 is an error (`TableMetadata.Builder.addSchemaInternal` and similar methods). So an item that
//! existed before is not sent, but referred to by its id.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// "The one added last".
const LAST_ADDED: i64 = -1;

/// A kind of item that is added: the update that adds it, and the updates that refer to it, with the location in them.
struct Added {
    action: &'static str,
    named_in: &'static [(&'static str, &'static str)],
}

const ADDED: [Added; 4] = [
    Added {
        action: "add-schema",
        named_in: &[("set-current-schema", "/schema-id"), ("add-view-version", "/view-version/schema-id")],
    },
    Added { action: "add-spec", named_in: &[("set-default-spec", "/spec-id")] },
    Added { action: "add-sort-order", named_in: &[("set-default-sort-order", "/sort-order-id")] },
    Added { action: "add-view-version", named_in: &[("set-current-view-version", "/view-version-id")] },
];

/// The updates as a server accepts them. `known` returns the id under which the base already has the item that an
/// update adds, given the update's action and the update.
pub(super) fn for_server(updates: &impl Serialize, known: impl Fn(&str, &Value) -> Option<i64>) -> Result<Vec<Value>> {
    let internal = |e| Error::new(ErrorKind::Internal, "writing updates for a REST catalog").with_source(e);
    let updates: Vec<Value> = serde_json::to_value(updates).and_then(serde_json::from_value).map_err(internal)?;
    // By action, the id of the item added last, if it existed before.
    let mut last = BTreeMap::<&str, Option<i64>>::new();
    let mut sent = Vec::with_capacity(updates.len());
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
            let known = known(&action, &update);
            last.insert(added.action, known);
            if known.is_some() {
                continue;
            }
        }
        sent.push(update);
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn existing_items_are_referred_to_by_id() {
        let check = |updates: Value, expected: Value| {
            let sent = for_server(&updates, |action, update| {
                let at = match action {
                    "add-schema" => "/schema/schema-id",
                    "add-spec" => "/spec/spec-id",
                    "add-sort-order" => "/sort-order/order-id",
                    _ => "/view-version/version-id",
                };
                update.pointer(at).and_then(Value::as_i64).filter(|id| *id < 3)
            });
            assert_eq!(Value::from(sent.unwrap()), expected);
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
