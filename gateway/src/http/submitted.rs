//! Statements that run while no request waits for them, until their result is read.
//!
//! A query runs until it has rows, which then stay where they are until somebody reads them: nothing is collected
//! here. A statement about which nobody has asked for as long as its lease is cancelled and forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::backend::{Backend, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::http::sql::{Answer, result};

/// How often leases are checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Statements that are kept at a time.
const STATEMENTS: usize = 1000;

/// How far a statement is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It has no result yet.
    Running,
    /// Its rows can be read.
    Ready,
    /// Its rows are being read.
    Reading,
    /// It has returned all of its rows.
    Read {
        /// How many.
        rows: usize,
    },
    /// It has changed rows.
    Updated {
        /// How many.
        rows: u64,
    },
    /// It has failed, or was cancelled.
    Failed(Error),
}

/// The statements of all users.
#[derive(Debug, Default)]
pub(super) struct Submitted(Mutex<HashMap<String, Arc<Query>>>);

/// A statement.
pub(super) struct Query {
    /// By which it is found, and which nobody can guess.
    pub id: String,
    /// Its text.
    pub sql: String,
    owner: Option<String>,
    lease: Duration,
    asked: Mutex<Instant>,
    state: watch::Sender<State>,
    rows: Mutex<Option<SendableRecordBatchStream>>,
    task: Mutex<Option<AbortHandle>>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("id", &self.id).field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

impl Submitted {
    /// Starts a statement.
    pub(super) fn start(&self, backend: Arc<dyn Backend>, statement: Statement, lease: Duration) -> Result<Arc<Query>> {
        let query = Arc::new(Query {
            id: Uuid::new_v4().to_string(),
            sql: statement.sql.clone(),
            owner: statement.sender.user().map(str::to_owned),
            lease,
            asked: Mutex::new(Instant::now()),
            state: watch::channel(State::Running).0,
            rows: Mutex::new(None),
            task: Mutex::new(None),
        });
        let mut all = locked(&self.0);
        if all.len() >= STATEMENTS {
            let message = format!("{STATEMENTS} statements are waiting to be read; read or cancel some first");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let run = Arc::clone(&query);
        let task = tokio::spawn(async move { run.run(&*backend, &statement).await });
        *locked(&query.task) = Some(task.abort_handle());
        all.insert(query.id.clone(), Arc::clone(&query));
        Ok(query)
    }

    /// A statement of this user.
    pub(super) fn get(&self, id: &str, user: Option<&str>) -> Result<Arc<Query>> {
        let found = locked(&self.0).get(id).filter(|query| query.owner.as_deref() == user).cloned();
        let query = found.ok_or_else(|| {
            let message = format!("there is no statement {id:?}; it may have been read, or its lease has ended");
            Error::new(ErrorKind::NotFound, message)
        })?;
        *locked(&query.asked) = Instant::now();
        Ok(query)
    }

    /// All statements of this user, oldest question first.
    pub(super) fn of(&self, user: Option<&str>) -> Vec<Arc<Query>> {
        let all = locked(&self.0);
        let mut own: Vec<_> = all.values().filter(|query| query.owner.as_deref() == user).cloned().collect();
        own.sort_by_key(|query| *locked(&query.asked));
        own
    }

    /// Cancels and forgets the statements whose lease has ended. One that is being read has a client.
    pub(super) fn remove_expired(&self) {
        locked(&self.0).retain(|_, query| {
            let reading = matches!(*query.state.borrow(), State::Reading);
            let expired = !reading && locked(&query.asked).elapsed() > query.lease;
            if expired {
                query.cancel("nobody asked about it before the end of its lease");
            }
            !expired
        });
    }
}

impl Query {
    async fn run(&self, backend: &dyn Backend, statement: &Statement) {
        let outcome = async {
            match result(backend, statement).await? {
                Answer::Updated(updated) => Ok(State::Updated { rows: updated.rows_affected }),
                Answer::Rows(rows) => {
                    // Its first rows decide whether it has failed.
                    let (schema, mut rows) = (rows.schema(), rows.fuse());
                    let first = rows.try_next().await?;
                    let rows = stream::iter(first.map(Ok)).chain(rows);
                    *locked(&self.rows) = Some(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
                    Ok(State::Ready)
                }
            }
        };
        let state = outcome.await.unwrap_or_else(State::Failed);
        if !self.advance(state) {
            // It was cancelled while its first rows arrived.
            drop(locked(&self.rows).take());
        }
    }

    /// Changes the state unless it is final.
    fn advance(&self, next: State) -> bool {
        self.state.send_if_modified(|state| {
            let is_final = matches!(state, State::Read { .. } | State::Updated { .. } | State::Failed(_));
            if !is_final {
                *state = next;
            }
            !is_final
        })
    }

    /// How far it is.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until it has a result.
    pub(super) async fn ended(&self) -> State {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| !matches!(state, State::Running)).await {
            Ok(state) => state.clone(),
            Err(_) => self.state(),
        }
    }

    /// Stops it, whether it runs, waits to be read, or is being read.
    pub(super) fn cancel(&self, reason: &str) {
        let error = Error::new(ErrorKind::Cancelled, format!("the statement was cancelled: {reason}"));
        if !self.advance(State::Failed(error)) {
            return;
        }
        if let Some(task) = &*locked(&self.task) {
            task.abort();
        }
        drop(locked(&self.rows).take());
    }

    /// Its rows, once. They end with an error if it is cancelled, and it is cancelled if they are not read to the end.
    pub(super) fn read(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let Some(rows) = locked(&self.rows).take().filter(|_| self.advance(State::Reading)) else {
            return Err(match self.state() {
                State::Failed(error) => error,
                _ => Error::new(ErrorKind::Conflict, "the rows have been read already; submit the query again"),
            });
        };
        let schema = rows.schema();
        let reading = Reading { query: Arc::clone(self), rows, read: 0, state: self.state.subscribe() };
        let rows = stream::try_unfold(reading, Reading::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// The rows of a query while a client reads them.
struct Reading {
    query: Arc<Query>,
    rows: SendableRecordBatchStream,
    read: usize,
    state: watch::Receiver<State>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(arrow::array::RecordBatch, Self)>, DataFusionError> {
        let next = tokio::select! {
            biased;
            failed = failure(&mut self.state) => Err(failed.into()),
            next = self.rows.try_next() => next,
        };
        match next {
            Ok(Some(batch)) => {
                self.read += batch.num_rows();
                Ok(Some((batch, self)))
            }
            Ok(None) => {
                self.query.advance(State::Read { rows: self.read });
                Ok(None)
            }
            Err(e) => {
                let shared = Arc::new(e);
                let error = Error::from(DataFusionError::Shared(Arc::clone(&shared)));
                self.query.advance(State::Failed(error));
                Err(DataFusionError::Shared(shared))
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.query.cancel("its client closed the connection");
    }
}

async fn failure(state: &mut watch::Receiver<State>) -> Error {
    loop {
        if let State::Failed(error) = &*state.borrow_and_update() {
            return error.clone();
        }
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
