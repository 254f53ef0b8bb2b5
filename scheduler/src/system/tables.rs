//! The rows of the tables of `system`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bergmill_gateway::SessionInfo;
use chrono::{DateTime, Utc};
use datafusion::error::Result;

use super::Executor;
use super::audit::Event;
use super::history::{Entry, State};
use super::progress::Progress;
use super::scans::ScanMetrics;
use super::stages::{StageRun, TaskRun};
use super::sums::Sums;

pub(super) fn audit(events: &[Event]) -> Result<RecordBatch> {
    batch(vec![
        ("event_time", times(events.iter().map(|e| Some(e.time)))),
        ("action", text(events.iter().map(|e| Some(e.action.name().to_string())))),
        ("user_name", text(events.iter().map(|e| e.user.clone()))),
        ("client_address", text(events.iter().map(|e| e.address.map(|address| address.to_string())))),
        ("query_id", text(events.iter().map(|e| e.query_id.clone()))),
        ("statement", text(events.iter().map(|e| e.statement.clone()))),
        ("tables_read", texts(events.iter().map(|e| &e.tables_read))),
        ("tables_changed", texts(events.iter().map(|e| &e.tables_changed))),
        ("outcome", text(events.iter().map(|e| Some(e.outcome.name().to_string())))),
        ("rows", long(events.iter().map(|e| e.rows))),
        ("error", text(events.iter().map(|e| e.error.clone()))),
    ])
}

pub(super) fn executors(executors: &[Executor]) -> Result<RecordBatch> {
    let state = |executor: &Executor| if executor.drains { "draining" } else { "active" };
    batch(vec![
        ("executor_id", text(executors.iter().map(|e| Some(e.metadata.id.clone())))),
        ("host", text(executors.iter().map(|e| Some(e.metadata.host.clone())))),
        ("port", int(executors.iter().map(|e| usize::from(e.metadata.port)))),
        ("vcores", int(executors.iter().map(|e| e.metadata.specification.vcores as usize))),
        ("state", text(executors.iter().map(|e| Some(state(e).to_string())))),
    ])
}

pub(super) fn sessions(sessions: &[SessionInfo]) -> Result<RecordBatch> {
    let options = |session: &SessionInfo| {
        let set = session.options.iter().map(|(name, value)| format!("{name}={value}"));
        Some(set.collect::<Vec<_>>().join(", "))
    };
    batch(vec![
        ("session_id", text(sessions.iter().map(|s| Some(s.id.to_string())))),
        ("user_name", text(sessions.iter().map(|s| s.user.clone()))),
        ("began_at", times(sessions.iter().map(|s| Some(s.began.into())))),
        ("used_at", times(sessions.iter().map(|s| Some(s.used.into())))),
        ("options", text(sessions.iter().map(options))),
    ])
}

/// The statements, each with how far it is on executors.
pub(super) fn queries(entries: &[(Entry, Option<Progress>)]) -> Result<RecordBatch> {
    let progress = |of: fn(Progress) -> usize| long(entries.iter().map(|(_, p)| p.map(|p| of(p) as u64)));
    let [stages, stages_done, tasks_running, tasks_done] = [
        progress(|p| p.stages),
        progress(|p| p.stages_done),
        progress(|p| p.tasks_running),
        progress(|p| p.tasks_done),
    ];
    let entries: Vec<&Entry> = entries.iter().map(|(entry, _)| entry).collect();
    let sums: Vec<Sums> = entries.iter().map(|entry| entry.sums()).collect();
    let state = |entry: &&Entry| match entry.state {
        State::Running => "running",
        State::Finished => "finished",
        State::Failed(_) => "failed",
        State::Cancelled(_) => "cancelled",
    };
    let error = |entry: &&Entry| match &entry.state {
        State::Failed(error) => Some(error.to_string()),
        State::Cancelled(reason) => Some(reason.clone()),
        State::Running | State::Finished => None,
    };
    let scanned = |of: fn(ScanMetrics) -> u64| long(sums.iter().map(|s| s.scans.map(of)));
    batch(vec![
        ("query_id", text(entries.iter().map(|e| Some(e.id.to_string())))),
        ("user_name", text(entries.iter().map(|e| e.sender.user().map(ToString::to_string)))),
        ("statement", text(entries.iter().map(|e| Some(e.statement.clone())))),
        ("state", text(entries.iter().map(|e| Some(state(e).to_string())))),
        ("execution", text(entries.iter().map(|e| Some(e.execution?.name().to_string())))),
        ("submitted_at", times(entries.iter().map(|e| Some(e.submitted)))),
        ("ended_at", times(entries.iter().map(|e| e.ended))),
        ("stages", stages),
        ("stages_done", stages_done),
        ("tasks_running", tasks_running),
        ("tasks_done", tasks_done),
        ("rows", long(entries.iter().map(|e| Some(e.rows)))),
        ("files", long(entries.iter().map(|e| Some(e.files)))),
        ("files_pruned", long(entries.iter().map(|e| Some(e.files_pruned)))),
        ("bytes_pruned", long(entries.iter().map(|e| e.bytes_pruned))),
        ("row_groups", scanned(|s| s.row_groups)),
        ("row_groups_pruned", scanned(|s| s.row_groups_pruned)),
        ("page_rows", scanned(|s| s.page_rows)),
        ("page_rows_pruned", scanned(|s| s.page_rows_pruned)),
        ("scanned_bytes", scanned(|s| s.bytes)),
        ("shuffle_bytes", long(sums.iter().map(|s| s.shuffle_bytes))),
        ("spilled_bytes", long(sums.iter().map(|s| s.spilled_bytes))),
        ("cpu_seconds", double(sums.iter().map(|s| s.compute_seconds))),
        ("error", text(entries.iter().map(error))),
    ])
}

pub(super) fn stages(entries: &[Entry]) -> Result<RecordBatch> {
    let all: Vec<(&Entry, &StageRun)> = entries.iter().flat_map(|e| e.stages.iter().map(move |s| (e, s))).collect();
    let of = || all.iter().map(|(_, stage)| *stage);
    batch(vec![
        ("query_id", text(all.iter().map(|(e, _)| Some(e.id.to_string())))),
        ("job_id", text(of().map(|s| Some(s.job.clone())))),
        ("stage_id", int(of().map(|s| s.stage))),
        ("attempt", int(of().map(|s| s.attempt))),
        ("partitions", int(of().map(|s| s.partitions))),
        ("tasks", int(of().map(|s| s.tasks.len()))),
        ("scanned_bytes", long(of().map(|s| s.sums.scans.map(|scans| scans.bytes)))),
        ("shuffle_read_bytes", long(of().map(|s| s.shuffle_read_bytes))),
        ("shuffle_read_seconds", double(of().map(|s| s.shuffle_read_seconds))),
        ("shuffle_write_bytes", long(of().map(|s| Some(s.tasks.iter().map(|t| t.bytes).sum())))),
        ("shuffle_write_seconds", double(of().map(|s| s.shuffle_write_seconds))),
        ("spilled_bytes", long(of().map(|s| s.sums.spilled_bytes))),
        ("cpu_seconds", double(of().map(|s| s.sums.compute_seconds))),
    ])
}

pub(super) fn tasks(entries: &[Entry]) -> Result<RecordBatch> {
    let within = |e| move |s| (e, s);
    let stages = entries.iter().flat_map(|e| e.stages.iter().map(within(e)));
    let all: Vec<(&Entry, &StageRun, &TaskRun)> =
        stages.flat_map(|(e, s): (&Entry, &StageRun)| s.tasks.iter().map(move |t| (e, s, t))).collect();
    let of = || all.iter().map(|(.., task)| *task);
    batch(vec![
        ("query_id", text(all.iter().map(|(e, ..)| Some(e.id.to_string())))),
        ("job_id", text(all.iter().map(|(_, s, _)| Some(s.job.clone())))),
        ("stage_id", int(all.iter().map(|(_, s, _)| s.stage))),
        ("task_id", int(of().map(|t| t.task))),
        ("executor_id", text(of().map(|t| Some(t.executor.clone())))),
        ("partitions", int(of().map(|t| t.partitions))),
        ("scheduled_at", times(of().map(|t| t.scheduled))),
        ("started_at", times(of().map(|t| t.started))),
        ("ended_at", times(of().map(|t| t.ended))),
        ("reported_at", times(of().map(|t| t.reported))),
        ("output_rows", long(of().map(|t| Some(t.rows)))),
        ("output_bytes", long(of().map(|t| Some(t.bytes)))),
    ])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())?)
}

fn text(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    values.for_each(|value| column.append_option(value));
    Arc::new(column.finish())
}

fn texts<'a>(values: impl Iterator<Item = &'a Vec<String>>) -> ArrayRef {
    let mut column = ListBuilder::new(StringBuilder::new());
    values.for_each(|value| column.append_value(value.iter().map(Some)));
    Arc::new(column.finish())
}

fn times(values: impl Iterator<Item = Option<DateTime<Utc>>>) -> ArrayRef {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut column = TimestampMicrosecondBuilder::new().with_data_type(zoned);
    values.for_each(|value| column.append_option(value.map(|time| time.timestamp_micros())));
    Arc::new(column.finish())
}

fn int(values: impl Iterator<Item = usize>) -> ArrayRef {
    let mut column = Int32Builder::new();
    values.for_each(|value| column.append_option(i32::try_from(value).ok()));
    Arc::new(column.finish())
}

fn long(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let mut column = Int64Builder::new();
    values.for_each(|value| column.append_option(value.and_then(|value| i64::try_from(value).ok())));
    Arc::new(column.finish())
}

fn double(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    let mut column = Float64Builder::new();
    values.for_each(|value| column.append_option(value));
    Arc::new(column.finish())
}
