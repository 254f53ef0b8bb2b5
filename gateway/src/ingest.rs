//! Bulk ingest: the target of the command, and the upload as a stream of batches for the backend.
//!
//! Batches are decoded one at a time as the backend polls for them, so HTTP/2 flow control holds the client back while
//! the backend writes. An aborted upload ends the stream with an error, never as if it were complete, so that the
//! backend does not commit.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, future, stream};

use crate::backend::{CommitTag, IngestMode, IngestTarget};
use crate::error::{Error, ErrorKind, Result};
use crate::upload::UploadEnd;

/// The target of the command. `catalog` is the only catalog.
pub(crate) fn target(command: CommandStatementIngest, catalog: &str, tag: Option<CommitTag>) -> Result<IngestTarget> {
    if command.temporary {
        return Err(unsupported("temporary tables are not supported"));
    }
    if command.transaction_id.is_some_and(|id| !id.is_empty()) {
        return Err(unsupported("transactions are not supported: every statement commits on its own"));
    }
    if let Some(name) = command.catalog.filter(|name| !name.is_empty() && name != catalog) {
        return Err(Error::new(ErrorKind::NotFound, format!("catalog {name:?} not found; there is {catalog:?}")));
    }
    if command.table.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "the ingest names no table"));
    }
    let mode = mode(command.table_definition_options.unwrap_or_default())?;
    let namespace = command.schema.filter(|name| !name.is_empty());
    Ok(IngestTarget { namespace, table: command.table, mode, tag })
}

fn mode(options: TableDefinitionOptions) -> Result<IngestMode> {
    use TableExistsOption as Exists;
    use TableNotExistOption as Missing;
    match (options.if_not_exist(), options.if_exists()) {
        (Missing::Create, Exists::Fail) => Ok(IngestMode::Create),
        (Missing::Fail, Exists::Append) => Ok(IngestMode::Append),
        (Missing::Create, Exists::Append) => Ok(IngestMode::CreateAppend),
        (Missing::Create, Exists::Replace) => Ok(IngestMode::Replace),
        // The protocol requires both options, but some clients send none for "append".
        (Missing::Unspecified, Exists::Unspecified) => Ok(IngestMode::Append),
        (missing, exists) => Err(unsupported(&format!(
            "ingest options {} with {} match none of the modes create, append, create_append and replace",
            missing.as_str_name(),
            exists.as_str_name()
        ))),
    }
}

/// The options for `mode`, the reverse of [`target`], for our client.
pub(crate) fn options(mode: IngestMode) -> TableDefinitionOptions {
    let (missing, exists) = match mode {
        IngestMode::Create => (TableNotExistOption::Create, TableExistsOption::Fail),
        IngestMode::Append => (TableNotExistOption::Fail, TableExistsOption::Append),
        IngestMode::CreateAppend => (TableNotExistOption::Create, TableExistsOption::Append),
        IngestMode::Replace => (TableNotExistOption::Create, TableExistsOption::Replace),
    };
    TableDefinitionOptions { if_not_exist: missing as i32, if_exists: exists as i32 }
}

/// The upload as batches. Waits for the first message, which holds the schema.
pub(crate) async fn input(upload: PeekableFlightDataStream, end: UploadEnd) -> Result<SendableRecordBatchStream> {
    let mut decoder = FlightDataDecoder::new(upload.map_err(FlightError::from));
    let first = decoder.try_next().await?.map(|data| data.payload);
    let Some(DecodedPayload::Schema(schema)) = first else {
        return Err(Error::new(ErrorKind::InvalidInput, "the first message of an upload must hold the schema"));
    };
    let expected: SchemaRef = Arc::clone(&schema);
    let batches = decoder.map_err(Error::from).try_filter_map(move |message| {
        future::ready(match message.payload {
            DecodedPayload::RecordBatch(batch) => Ok(Some(batch)),
            DecodedPayload::None => Ok(None),
            DecodedPayload::Schema(again) if again == expected => Ok(None),
            DecodedPayload::Schema(_) => {
                Err(Error::new(ErrorKind::InvalidInput, "the schema changes during the upload"))
            }
        })
    });
    // Only after everything is read is it known whether the upload was complete.
    let end = stream::once(async move { end.check() }).try_filter_map(|()| future::ready(Ok(None)));
    let batches = batches.chain(end).map_err(DataFusionError::from);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(options: Option<TableDefinitionOptions>) -> CommandStatementIngest {
        CommandStatementIngest { table: "t".into(), table_definition_options: options, ..Default::default() }
    }

    #[test]
    fn modes_round_trip() {
        for mode in [IngestMode::Create, IngestMode::Append, IngestMode::CreateAppend, IngestMode::Replace] {
            assert_eq!(target(command(Some(options(mode))), "c", None).unwrap().mode, mode);
        }
        assert_eq!(target(command(None), "c", None).unwrap().mode, IngestMode::Append);
    }

    #[test]
    fn unsupported_ingests_are_refused() {
        let odd = TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Fail as i32,
            if_exists: TableExistsOption::Fail as i32,
        };
        for (command, kind) in [
            (command(Some(odd)), ErrorKind::Unsupported),
            (CommandStatementIngest { temporary: true, ..command(None) }, ErrorKind::Unsupported),
            (CommandStatementIngest { transaction_id: Some("1".into()), ..command(None) }, ErrorKind::Unsupported),
            (CommandStatementIngest { catalog: Some("other".into()), ..command(None) }, ErrorKind::NotFound),
            (CommandStatementIngest { table: String::new(), ..command(None) }, ErrorKind::InvalidInput),
        ] {
            assert_eq!(target(command.clone(), "c", None).unwrap_err().kind(), kind, "{command:?}");
        }
    }

    #[test]
    fn empty_names_count_as_missing() {
        let command =
            CommandStatementIngest { catalog: Some(String::new()), schema: Some(String::new()), ..command(None) };
        assert_eq!(target(command, "c", None).unwrap().namespace, None);
    }
}
