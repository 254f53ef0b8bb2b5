//! Metadata changes whose response is lost: their outcome is looked up. The server here keeps one table as the protocol
//! says, and fails when the test says so.

use std::sync::{Arc, Mutex};

use bergmill_storage::Stores;
use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, Schema, TableMetadataBuilder, Type};
use iceberg::{TableIdent, TableRequirement, TableUpdate};
use serde::Deserialize;
use serde_json::json;

use super::tests::server;
use super::{RestAuth, RestCatalog, RestConfig};
use crate::error::{ErrorKind, Result};
use crate::table::Warehouse;

/// How a commit fails that the server receives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It is applied, and the response has this status; 0 cuts the connection.
    Done(u16),
    /// It is not applied, and the response has this status.
    Undone(u16),
    /// Another writer sets a property instead, and the response is lost.
    Overtaken,
    /// It is applied, another writer sets a property after it, and the response is lost.
    DoneThenAnother,
}

struct Kept {
    metadata: iceberg::spec::TableMetadata,
    version: usize,
    faults: Vec<Fault>,
    commits: usize,
}

#[derive(Deserialize)]
struct Commit {
    requirements: Vec<TableRequirement>,
    updates: Vec<TableUpdate>,
}

impl Kept {
    fn apply(&mut self, updates: Vec<TableUpdate>) {
        let builder = self.metadata.clone().into_builder(None);
        let applied = updates.into_iter().try_fold(builder, |builder, update| update.apply(builder));
        self.metadata = applied.unwrap().build().unwrap().metadata;
        self.version += 1;
    }

    fn another(&mut self) {
        let updates = [(format!("other-{}", self.version), "x".to_string())].into();
        self.apply(vec![TableUpdate::SetProperties { updates }]);
    }

    fn answer(&mut self, what: &str, body: &str) -> (u16, String) {
        let Some(("POST", "/catalog/v1/namespaces/raw/tables/events")) = what.split_once(' ') else {
            let location = format!("s3://raw/events/metadata/{}.json", self.version);
            let text = match what {
                "GET /catalog/v1/config" => json!({}),
                _ => json!({ "metadata-location": location, "metadata": self.metadata }),
            };
            return (200, text.to_string());
        };
        self.commits += 1;
        let Commit { requirements, updates } = serde_json::from_str(body).unwrap();
        let holds = |required: &TableRequirement| required.check(Some(&self.metadata)).is_ok();
        if !requirements.iter().all(holds) {
            return (409, String::new());
        }
        match self.faults.pop() {
            Some(Fault::Undone(status)) => (status, String::new()),
            Some(Fault::Overtaken) => {
                self.another();
                (0, String::new())
            }
            Some(Fault::Done(status)) => {
                self.apply(updates);
                (status, String::new())
            }
            Some(Fault::DoneThenAnother) => {
                self.apply(updates);
                self.another();
                (0, String::new())
            }
            None => {
                self.apply(updates);
                (200, "{}".to_string())
            }
        }
    }
}

/// Sets a property of a table under these faults; also returns the table's metadata afterwards, and how many commits
/// the server received.
async fn altered(faults: &[Fault]) -> (Result<iceberg::table::Table>, iceberg::spec::TableMetadata, usize) {
    let id = NestedField::required(1, "id", Type::Primitive(PrimitiveType::Long));
    let schema = Schema::builder().with_fields([id.into()]).build().unwrap();
    let spec = iceberg::spec::UnboundPartitionSpec::builder().build();
    let order = iceberg::spec::SortOrder::unsorted_order();
    let at = "s3://raw/events".to_string();
    let builder = TableMetadataBuilder::new(schema, spec, order, at, FormatVersion::V2, [].into());
    let metadata = builder.unwrap().build().unwrap().metadata;
    let faults = faults.iter().rev().copied().collect();
    let kept = Arc::new(Mutex::new(Kept { metadata, version: 0, faults, commits: 0 }));
    let servers = Arc::clone(&kept);
    let (uri, _) = server(move |what, _, body| servers.lock().unwrap().answer(what, body)).await;
    let config = RestConfig { uri, warehouse: None, auth: RestAuth::None, vended_credentials: false };
    let catalog = RestCatalog::open(config).await.unwrap();
    let warehouse = Warehouse::new(Arc::new(catalog), Stores::local(), "s3://not-used").unwrap();
    let events = TableIdent::from_strs(["raw", "events"]).unwrap();
    let set = [("mine".to_string(), "yes".to_string())];
    let got = warehouse.alter(&events, |_, table| Ok(Some(table.set_properties(set.clone().into())?))).await;
    let kept = kept.lock().unwrap();
    (got, kept.metadata.clone(), kept.commits)
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let check = async |faults: &[Fault], commits: usize, others: usize| {
        let (got, now, received) = altered(faults).await;
        let got = got.unwrap_or_else(|e| panic!("{faults:?}: {e}"));
        assert_eq!(got.metadata(), &now, "{faults:?}");
        assert_eq!(now.properties().get("mine").map(String::as_str), Some("yes"), "{faults:?}");
        assert_eq!((received, now.properties().len()), (commits, 1 + others), "{faults:?}");
    };
    check(&[], 1, 0).await;
    for lost in [0, 500, 502, 503, 504] {
        check(&[Fault::Done(lost)], 1, 0).await;
        // The same request is sent again, since the table is unchanged.
        check(&[Fault::Undone(lost)], 2, 0).await;
        check(&[Fault::Undone(lost), Fault::Done(lost)], 2, 0).await;
    }
    // Another writer changed the table: the change is built again from its new state.
    check(&[Fault::Overtaken], 2, 1).await;
    check(&[Fault::Overtaken, Fault::Overtaken, Fault::Done(0)], 3, 2).await;
    check(&[Fault::DoneThenAnother], 1, 1).await;
}

#[tokio::test]
async fn an_unknown_outcome_is_reported() {
    let (got, now, received) = altered(&[Fault::Undone(503); 9]).await;
    let e = got.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unknown, "{e}");
    assert!(e.to_string().contains("it is unknown whether the change happened"), "{e}");
    assert_eq!((now.properties().len(), received), (0, 5));
    // A refusal by the server is not an unknown outcome.
    let (got, _, received) = altered(&[Fault::Undone(403)]).await;
    assert_eq!((got.unwrap_err().kind(), received), (ErrorKind::Storage, 1));
}
