//! The tasks that have ended, until the scheduler has been told twice.
//!
//! Ballista reports the end of a task once. If that report is lost, the scheduler waits for the task forever. So each
//! ended task is listed in a later heartbeat too, which is repeated until the scheduler has answered it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ballista_core::serde::scheduler::TaskKey;

/// Maximum number of remembered tasks. If there are more, because the scheduler does not answer, the oldest are
/// forgotten: an executor that has lost its scheduler stops.
const MAX: usize = 1 << 16;

/// Tasks that have ended, the oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndedTasks(Arc<Mutex<VecDeque<Ended>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub task: TaskKey,
    at: Instant,
}

/// A task that has not ended. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Unended {
    task: TaskKey,
    ended: EndedTasks,
}

impl Drop for Unended {
    fn drop(&mut self) {
        self.ended.add(self.task.clone(), Instant::now());
    }
}

impl EndedTasks {
    /// A task that ends when the result is dropped.
    pub(crate) fn begin(&self, task: TaskKey) -> Unended {
        Unended { task, ended: self.clone() }
    }

    fn add(&self, task: TaskKey, at: Instant) {
        let mut all = self.lock();
        if all.len() == MAX {
            all.pop_front();
        }
        all.push_back(Ended { task, at });
    }

    /// Removes and returns the tasks that have ended at least `age` ago.
    pub(crate) fn take(&self, age: Duration) -> Vec<Ended> {
        let mut all = self.lock();
        let n = all.iter().take_while(|ended| ended.at.elapsed() >= age).count();
        all.drain(..n).collect()
    }

    /// Undoes [`Self::take`].
    pub(crate) fn put_back(&self, tasks: Vec<Ended>) {
        let mut all = self.lock();
        let room = MAX.saturating_sub(all.len());
        tasks.into_iter().rev().take(room).for_each(|ended| all.push_front(ended));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Ended>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ballista_core::JobId;

    use super::*;

    fn task(task_id: usize) -> TaskKey {
        TaskKey { job_id: JobId::new("q"), stage_id: 1, task_id }
    }

    fn ids(tasks: &[Ended]) -> Vec<usize> {
        tasks.iter().map(|ended| ended.task.task_id).collect()
    }

    #[test]
    fn tasks_are_listed_until_an_answer_and_not_before_their_age() {
        let ended = EndedTasks::default();
        let now = Instant::now();
        ended.add(task(0), now - Duration::from_secs(9));
        ended.add(task(1), now - Duration::from_secs(8));
        let running = ended.begin(task(2));
        let listed = ended.take(Duration::from_secs(5));
        assert_eq!(ids(&listed), [0, 1]);
        drop(running);
        ended.put_back(listed);
        assert_eq!(ids(&ended.take(Duration::from_secs(5))), [0, 1]);
        assert_eq!(ids(&ended.take(Duration::ZERO)), [2]);
        assert!(ended.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn the_oldest_tasks_are_forgotten() {
        let ended = EndedTasks::default();
        (0..MAX + 2).for_each(|id| drop(ended.begin(task(id))));
        let mut listed = ended.take(Duration::ZERO);
        assert_eq!((listed.len(), listed[0].task.task_id), (MAX, 2));
        drop(ended.begin(task(MAX + 2)));
        listed.truncate(3);
        ended.put_back(listed);
        assert_eq!(ids(&ended.take(Duration::ZERO)), [2, 3, 4, MAX + 2]);
    }
}
