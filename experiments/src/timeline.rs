//! Where the wall time of a statement went, from the times of its tasks.
//!
//! A cluster with `slots` vcores has `slots` seconds of work to give in each second. Each of them is counted once, as
//! work or as a reason for idleness, and divided by `slots`: so the parts of a [`Breakdown`] add up to the wall time.

use serde::{Deserialize, Serialize};

/// A task on an executor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Task {
    /// When it began, in seconds since any moment.
    pub began: f64,
    /// When it ended.
    pub ended: f64,
    /// Vcores that it used.
    pub width: usize,
}

/// A statement with its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// When it was submitted, in seconds since any moment.
    pub submitted: f64,
    /// When its last row was read, or its changes were committed.
    pub ended: f64,
    /// Its tasks, in any order.
    pub tasks: Vec<Task>,
    /// Seconds that its tasks spent with reading other stages' rows.
    pub shuffle_read: f64,
    /// Seconds that its tasks spent with distributing and writing rows.
    pub shuffle_write: f64,
}

/// Parts of the wall time, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// Until the first task ran: planning, and sending it.
    pub planning: f64,
    /// Operators of tasks, apart from the exchange of rows.
    pub compute: f64,
    /// Reading rows of other stages.
    pub shuffle_read: f64,
    /// Distributing and writing rows for other stages.
    pub shuffle_write: f64,
    /// No task ran, between two that did.
    pub gaps: f64,
    /// Vcores were idle while a single one worked.
    pub serial: f64,
    /// Vcores were idle while several others worked.
    pub uneven: f64,
    /// After the last task: commits, and sending rows to the client.
    pub result: f64,
    /// Outside of statements: the client, and sending it rows.
    pub client: f64,
}

impl Breakdown {
    /// Names of the parts, in the order of [`Breakdown::parts`].
    pub const NAMES: [&str; 9] =
        ["planning", "compute", "shuffle read", "shuffle write", "gaps", "serial", "uneven", "result", "client"];

    /// The parts.
    pub fn parts(&self) -> [f64; 9] {
        let Self { planning, compute, shuffle_read, shuffle_write, gaps, serial, uneven, result, client } = *self;
        [planning, compute, shuffle_read, shuffle_write, gaps, serial, uneven, result, client]
    }

    /// The parts of a statement on a cluster with `slots` vcores.
    pub fn of(timeline: &Timeline, slots: usize) -> Self {
        let Timeline { submitted, ended, .. } = *timeline;
        let wall = (ended - submitted).max(0.0);
        // Clocks are rounded to milliseconds.
        let clip = |time: f64| time.clamp(submitted, submitted + wall);
        let mut changes: Vec<(f64, i64)> = Vec::new();
        for task in &timeline.tasks {
            let width = i64::try_from(task.width.clamp(1, slots.max(1))).unwrap_or(1);
            changes.extend([(clip(task.began), width), (clip(task.ended.max(task.began)), -width)]);
        }
        changes.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return Self { planning: wall, ..Self::default() };
        };
        let mut parts = Self { planning: first.0 - submitted, result: submitted + wall - last.0, ..Self::default() };
        #[expect(clippy::cast_precision_loss, reason = "numbers of vcores")]
        let slots = slots.max(1) as f64;
        let (mut busy, mut working) = (0.0, 0i64);
        for (now, next) in changes.iter().zip(changes.iter().skip(1)) {
            working += now.1;
            let seconds = next.0 - now.0;
            #[expect(clippy::cast_precision_loss, reason = "numbers of vcores")]
            let width = (working as f64).min(slots);
            let idle = seconds * (slots - width) / slots;
            busy += seconds * width / slots;
            match working {
                ..=0 => parts.gaps += idle,
                1 => parts.serial += idle,
                _ => parts.uneven += idle,
            }
        }
        // Measured inside of the tasks, some of it at the same time.
        let (read, write) = (timeline.shuffle_read / slots, timeline.shuffle_write / slots);
        let scale = if read + write > busy { busy / (read + write) } else { 1.0 };
        (parts.shuffle_read, parts.shuffle_write) = (read * scale, write * scale);
        parts.compute = (busy - parts.shuffle_read - parts.shuffle_write).max(0.0);
        parts
    }

    /// The parts of the `wall` seconds that a client waited for these statements.
    ///
    /// A busy scheduler may note the end of a statement after its client has read the last row. That time is taken from
    /// the end, or from the whole if no task ran.
    pub fn seen_by_client(mut self, wall: f64) -> Self {
        let excess = (self.total() - wall).max(0.0);
        let of_result = excess.min(self.result);
        self.result -= of_result;
        self.planning -= (excess - of_result).min(self.planning);
        self.client = (wall - self.total()).max(0.0);
        self
    }

    /// The sum of the parts: the wall time.
    pub fn total(&self) -> f64 {
        self.parts().iter().sum()
    }
}

impl std::ops::AddAssign for Breakdown {
    fn add_assign(&mut self, other: Self) {
        self.planning += other.planning;
        self.compute += other.compute;
        self.shuffle_read += other.shuffle_read;
        self.shuffle_write += other.shuffle_write;
        self.gaps += other.gaps;
        self.serial += other.serial;
        self.uneven += other.uneven;
        self.result += other.result;
        self.client += other.client;
    }
}

/// The duration of the slowest task of a stage relative to the median of its tasks; `None` without tasks.
pub fn skew(tasks: &[Task]) -> Option<f64> {
    let mut seconds: Vec<f64> = tasks.iter().map(|task| task.ended - task.began).collect();
    seconds.sort_by(f64::total_cmp);
    let (median, slowest) = (seconds.get(seconds.len() / 2)?, seconds.last()?);
    if *median > 0.0 { Some(slowest / median) } else { Some(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(began: f64, ended: f64) -> Task {
        Task { began, ended, width: 1 }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn each_second_of_each_vcore_is_counted_once() {
        // Four vcores. Planning 1 s; two tasks of 4 and 2 s; a gap of 1 s; four tasks of 2 s; 1 s for the result.
        let mut tasks = vec![task(1.0, 5.0), task(1.0, 3.0)];
        tasks.extend([task(6.0, 8.0); 4]);
        let timeline = Timeline { submitted: 0.0, ended: 9.0, tasks, shuffle_read: 2.0, shuffle_write: 4.0 };
        let parts = Breakdown::of(&timeline, 4);
        assert!(close(parts.total(), 9.0), "{parts:?}");
        assert!(close(parts.planning, 1.0) && close(parts.result, 1.0) && close(parts.gaps, 1.0), "{parts:?}");
        // From 1 to 3 s two of four worked, from 3 to 5 s one.
        assert!(close(parts.uneven, 1.0) && close(parts.serial, 1.5), "{parts:?}");
        // 4 + 2 + 8 seconds of tasks.
        assert!(close(parts.shuffle_read, 0.5) && close(parts.shuffle_write, 1.0) && close(parts.compute, 2.0));
    }

    #[test]
    fn statements_without_tasks_and_exchanges_longer_than_their_tasks_add_up_too() {
        let none = Timeline { submitted: 5.0, ended: 7.0, tasks: vec![], shuffle_read: 0.0, shuffle_write: 0.0 };
        assert!(close(Breakdown::of(&none, 2).planning, 2.0));
        // Fetches overlap, and the clocks of executors are rounded.
        let tasks = vec![task(-0.001, 1.0), Task { began: 0.5, ended: 2.5, width: 7 }];
        let timeline = Timeline { submitted: 0.0, ended: 2.0, tasks, shuffle_read: 30.0, shuffle_write: 10.0 };
        let parts = Breakdown::of(&timeline, 2);
        assert!(close(parts.total(), 2.0) && parts.parts().iter().all(|part| *part >= 0.0), "{parts:?}");
        assert!(close(parts.shuffle_read, 3.0 * parts.shuffle_write) && close(parts.compute, 0.0));
    }

    #[test]
    fn what_is_outside_of_statements_is_the_clients() {
        let parts = Breakdown { planning: 1.0, compute: 2.0, result: 0.5, ..Breakdown::default() };
        let check = |wall: f64, expected: (f64, f64, f64)| {
            let seen = parts.seen_by_client(wall);
            assert_eq!((seen.planning, seen.result, seen.client), expected, "{wall}");
            assert!(close(seen.total(), wall), "{seen:?}");
        };
        check(4.0, (1.0, 0.5, 0.5));
        check(3.25, (1.0, 0.25, 0.0));
        check(2.5, (0.5, 0.0, 0.0));
    }

    #[test]
    fn skew_is_relative_to_the_median() {
        assert_eq!(skew(&[task(0.0, 1.0), task(0.0, 3.0), task(0.0, 2.0)]), Some(1.5));
        assert_eq!(skew(&[]), None);
        assert_eq!(skew(&[task(1.0, 1.0)]), Some(1.0));
    }
}
