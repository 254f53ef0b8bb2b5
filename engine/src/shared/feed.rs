//! One run of a shared part, for several readers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::SpillMetrics;
use datafusion::physical_plan::spill::spill_pool::{SpillPoolSink, spsc_channel};
use datafusion::physical_plan::spill::{SpillManager, get_record_batch_memory_size};
use futures::task::{ArcWake, waker};
use futures::{Stream, StreamExt};

use crate::compact::compact;

/// The share of the memory pool that the batches of all partitions may take: the other operators of the plan run at the
/// same time, and not all of them can spill.
const SHARE: usize = 8;

/// Where batches are kept that not all readers have read.
#[derive(Debug)]
pub(super) struct Room {
    memory: MemoryReservation,
    most: usize,
    disk: Arc<SpillManager>,
    file_bytes: usize,
    schema: SchemaRef,
}

impl Room {
    /// Room for one of so many partitions.
    pub(super) fn new(
        name: String,
        partitions: usize,
        schema: SchemaRef,
        spills: SpillMetrics,
        context: &TaskContext,
    ) -> Self {
        let options = &context.session_config().options().execution;
        let most = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(bytes) => bytes / SHARE / partitions.max(1),
            _ => usize::MAX,
        };
        let disk = SpillManager::new(context.runtime_env(), spills, Arc::clone(&schema))
            .with_compression_type(options.spill_compression);
        Self {
            memory: MemoryConsumer::new(name).with_can_spill(true).register(context.memory_pool()),
            most,
            disk: Arc::new(disk),
            file_bytes: options.max_spill_file_size_bytes.get(),
            schema,
        }
    }

    /// Memory for a batch, if there is some.
    fn take(&self, bytes: usize) -> Result<Option<MemoryReservation>> {
        if self.memory.size().saturating_add(bytes) > self.most {
            return Ok(None);
        }
        match self.memory.try_grow(bytes) {
            Ok(()) => Ok(Some(self.memory.split(bytes))),
            Err(DataFusionError::ResourcesExhausted(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// One run, and what each reader has not read of it.
#[derive(Debug)]
pub(super) struct Feed {
    input: Mutex<Input>,
    queues: Mutex<Vec<Option<Queue>>>,
    waiting: Arc<Waiting>,
    /// Whether a reader has found the input in use since this was last asked.
    contended: AtomicBool,
    room: Room,
}

struct Input(Option<SendableRecordBatchStream>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

/// What a reader has not read.
#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// The reader's spilled batches.
    disk: Option<SpillPoolSink>,
    ended: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.items.len())
    }
}

enum Item {
    Kept(Arc<Kept>),
    /// The first of the reader's spilled batches comes with the stream that has all of them.
    Spilled(Option<SendableRecordBatchStream>),
    Failed(Arc<DataFusionError>),
}

struct Kept {
    batch: RecordBatch,
    /// Of the last reader's batch there is none: it is returned at once.
    _memory: Option<MemoryReservation>,
}

impl Feed {
    pub(super) fn new(input: SendableRecordBatchStream, readers: usize, room: Room) -> Self {
        let queues = std::iter::repeat_with(|| Some(Queue::default())).take(readers).collect();
        Self {
            input: Mutex::new(Input(Some(input))),
            queues: Mutex::new(queues),
            waiting: Arc::new(Waiting(Mutex::new(vec![None; readers]))),
            contended: AtomicBool::new(false),
            room,
        }
    }

    /// Gets the next batch for all readers. It may be that another reader is at it: then this one is woken afterwards.
    fn advance(&self, reader: usize, context: &mut Context<'_>) -> Poll<()> {
        self.waiting.add(reader, context.waker());
        let Some(mut input) = self.try_input() else { return Poll::Pending };
        if self.has_news(reader) {
            return Poll::Ready(());
        }
        // Whoever polled it last may not be polled again, so all readers are woken by it.
        let wakes = waker(Arc::clone(&self.waiting));
        let next = match &mut input.0 {
            Some(rows) => rows.poll_next_unpin(&mut Context::from_waker(&wakes)),
            None => Poll::Ready(None),
        };
        let Poll::Ready(next) = next else {
            drop(input);
            if self.contended.swap(false, Ordering::SeqCst) {
                self.waiting.wake_all();
            }
            return Poll::Pending;
        };
        let read = next.transpose();
        if !matches!(read, Ok(Some(_))) {
            input.0 = None;
        }
        self.hand_out(reader, read);
        drop(input);
        self.waiting.wake_all();
        Poll::Ready(())
    }

    fn try_input(&self) -> Option<MutexGuard<'_, Input>> {
        let attempt = || match self.input.try_lock() {
            Ok(input) => Some(input),
            Err(TryLockError::Poisoned(input)) => Some(input.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        attempt().or_else(|| {
            self.contended.store(true, Ordering::SeqCst);
            // It may have been released before that was stored.
            attempt()
        })
    }

    fn has_news(&self, reader: usize) -> bool {
        self.lock()[reader].as_ref().is_none_or(|queue| queue.ended || !queue.items.is_empty())
    }

    /// Puts what was read by a reader into all queues.
    fn hand_out(&self, reader: usize, read: Result<Option<RecordBatch>>) {
        let mut queues = self.lock();
        match read.map_err(Arc::new) {
            Ok(Some(batch)) => self.hand_out_batch(reader, &batch, &mut queues),
            Ok(None) => queues.iter_mut().flatten().for_each(Queue::end),
            Err(e) => queues.iter_mut().flatten().for_each(|queue| queue.fail(&e)),
        }
    }

    /// The reader itself needs no memory for the batch.
    fn hand_out_batch(&self, reader: usize, batch: &RecordBatch, queues: &mut [Option<Queue>]) {
        let others = queues.iter().enumerate().any(|(at, queue)| at != reader && queue.is_some());
        let kept = if others { self.keep(batch).map_err(Arc::new) } else { Ok(None) };
        for (at, queue) in queues.iter_mut().enumerate() {
            match (queue, &kept) {
                (None, _) => {}
                (Some(queue), _) if at == reader => {
                    queue.items.push_back(Item::Kept(Arc::new(Kept { batch: batch.clone(), _memory: None })));
                }
                (Some(queue), Ok(Some(kept))) => queue.items.push_back(Item::Kept(Arc::clone(kept))),
                (Some(queue), Ok(None)) => queue.spill(batch, &self.room),
                (Some(queue), Err(e)) => queue.fail(e),
            }
        }
    }

    /// The batch in memory, if there is room.
    fn keep(&self, batch: &RecordBatch) -> Result<Option<Arc<Kept>>> {
        let batch = compact(batch)?;
        let memory = self.room.take(get_record_batch_memory_size(&batch))?;
        Ok(memory.map(|memory| Arc::new(Kept { batch, _memory: Some(memory) })))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn spill(&mut self, batch: &RecordBatch, room: &Room) {
        let mut stream = None;
        let disk = self.disk.get_or_insert_with(|| {
            let (sink, reader) = spsc_channel(room.file_bytes, Arc::clone(&room.disk));
            stream = Some(reader);
            sink
        });
        match disk.push_batch(batch) {
            Ok(()) => self.items.push_back(Item::Spilled(stream)),
            Err(e) => self.fail(&Arc::new(e)),
        }
    }

    fn fail(&mut self, error: &Arc<DataFusionError>) {
        self.items.push_back(Item::Failed(Arc::clone(error)));
        self.end();
    }

    fn end(&mut self) {
        self.ended = true;
        // Completes the last file.
        self.disk = None;
    }
}

/// The readers that wait for a batch.
#[derive(Debug)]
struct Waiting(Mutex<Vec<Option<Waker>>>);

impl Waiting {
    fn add(&self, reader: usize, waker: &Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[reader] = Some(waker.clone());
    }

    fn wake_all(&self) {
        let wakers: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().map(Option::take).collect();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl ArcWake for Waiting {
    fn wake_by_ref(waiting: &Arc<Self>) {
        waiting.wake_all();
    }
}

/// All rows of a run, for one of its readers.
pub(super) struct Reader {
    feed: Arc<Feed>,
    at: usize,
    spilled: Option<SendableRecordBatchStream>,
    /// Whether the next batch is the next one of `spilled`.
    is_spilled: bool,
}

impl Reader {
    /// The reader at this place, counted from 0.
    pub(super) fn new(feed: Arc<Feed>, at: usize) -> Self {
        Self { feed, at, spilled: None, is_spilled: false }
    }

    /// What comes next; `None` at the end.
    fn unread(&self) -> Poll<Option<Item>> {
        match self.feed.lock()[self.at].as_mut() {
            Some(queue) => match queue.items.pop_front() {
                None if !queue.ended => Poll::Pending,
                next => Poll::Ready(next),
            },
            None => Poll::Ready(None),
        }
    }
}

impl Stream for Reader {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.is_spilled
                && let Some(spilled) = &mut self.spilled
            {
                let batch = ready!(spilled.poll_next_unpin(context));
                self.is_spilled = false;
                let lost = || Err(internal_datafusion_err!("a spilled batch is lost"));
                return Poll::Ready(Some(batch.unwrap_or_else(lost)));
            }
            match self.unread() {
                Poll::Ready(Some(Item::Kept(kept))) => return Poll::Ready(Some(Ok(kept.batch.clone()))),
                Poll::Ready(Some(Item::Failed(e))) => return Poll::Ready(Some(Err(DataFusionError::Shared(e)))),
                Poll::Ready(Some(Item::Spilled(stream))) => {
                    self.is_spilled = true;
                    if stream.is_some() {
                        self.spilled = stream;
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => ready!(self.feed.advance(self.at, context)),
            }
        }
    }
}

impl RecordBatchStream for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.feed.room.schema)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let queue = self.feed.lock()[self.at].take();
        // Its batches are freed without the lock.
        drop(queue);
    }
}
