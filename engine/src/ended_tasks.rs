//! The tasks that have ended on an executor, as text in its heartbeats.
//!
//! Ballista's heartbeats have no field for them, and none for the text beside their status, which Ballista leaves empty
//! and does not read.

use ballista_core::JobId;
use ballista_core::serde::scheduler::TaskKey;

/// The tasks as text.
pub fn encode_ended_tasks(tasks: &[TaskKey]) -> String {
    let text = |task: &TaskKey| format!("{}/{}/{}", task.job_id, task.stage_id, task.task_id);
    tasks.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The tasks of a text. What is not a task is ignored: executors may be of another version.
pub fn decode_ended_tasks(text: &str) -> Vec<TaskKey> {
    let task = |text: &str| {
        let mut parts = text.rsplitn(3, '/');
        let (task, stage, job) = (parts.next()?, parts.next()?, parts.next()?);
        Some(TaskKey { job_id: JobId::new(job), stage_id: stage.parse().ok()?, task_id: task.parse().ok()? })
    };
    text.split(' ').filter_map(task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(job: &str, stage_id: usize, task_id: usize) -> TaskKey {
        TaskKey { job_id: JobId::new(job), stage_id, task_id }
    }

    #[test]
    fn tasks_survive_encoding() {
        let check = |tasks: Vec<TaskKey>, text: &str| {
            assert_eq!(encode_ended_tasks(&tasks), text);
            assert_eq!(decode_ended_tasks(text), tasks);
        };
        check(vec![], "");
        check(vec![task("01j", 1, 0)], "01j/1/0");
        check(vec![task("01j", 1, 12), task("a/b", 30, 4)], "01j/1/12 a/b/30/4");
    }

    #[test]
    fn other_text_is_ignored() {
        assert_eq!(decode_ended_tasks("busy 1/2 a/b/c a/1/-1 a/1/2/ x/1/2"), [task("x", 1, 2)]);
    }
}
