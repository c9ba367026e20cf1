//! The handlers of a server and its aggregator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asynq::error::{Error, Result, SkipRetryError};
use asynq::serve_mux::ServeMux;
use asynq::task::Task;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, futures::Notified};

use crate::lines::{base64, say};

/// The first words of the task types that have a handler.
const WORDS: [&str; 8] = ["ok", "result", "fail", "flaky", "skip", "panic", "sleep", "slow"];

/// The data of a task that a handler sees. Its queue, retries and time limit are not among them.
#[derive(Serialize)]
struct Seen<'a> {
    /// Empty for a member of a group.
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    r#type: &'a str,
    #[serde(serialize_with = "base64")]
    payload: &'a [u8],
    headers: HashMap<&'a str, &'a str>,
}

impl<'a> Seen<'a> {
    fn from(task: &'a Task) -> Self {
        Seen {
            id: task.result_writer().map_or("", |writer| writer.task_id()),
            r#type: task.get_type(),
            payload: task.get_payload(),
            headers: (task.get_headers().iter())
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("")))
                .collect(),
        }
    }
}

/// What handlers share.
#[derive(Default)]
pub struct Shared {
    /// Ends `slow` tasks.
    pub release: Notify,
    /// How often a `flaky` task ran, by id.
    attempts: Mutex<HashMap<String, usize>>,
}

/// The handlers: a type is one of the words, alone or followed by a colon and a number.
pub fn mux(shared: &Arc<Shared>) -> ServeMux {
    let mut mux = ServeMux::new();
    for word in WORDS {
        for pattern in [word.to_string(), format!("{word}:*")] {
            let shared = shared.clone();
            mux.handle_async_func(&pattern, move |task| handle(task, shared.clone()));
        }
    }
    mux
}

/// Reports a handler that is dropped before its end: its task was cancelled or timed out.
struct Dropped<'a>(Option<&'a Task>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.0 {
            say(json!({"event": "dropped", "task": Seen::from(task)}));
        }
    }
}

async fn handle(task: Task, shared: Arc<Shared>) -> Result<()> {
    // Made before the event: a release that the event causes must not come too early.
    let released = shared.release.notified();
    say(json!({"event": "started", "task": Seen::from(&task)}));
    let mut dropped = Dropped(Some(&task));
    let outcome = perform(&task, &shared, released).await;
    dropped.0 = None;
    let error = outcome.as_ref().err().map(Error::to_string);
    say(json!({"event": "ended", "task": Seen::from(&task), "error": error}));
    outcome
}

async fn perform(task: &Task, shared: &Shared, released: Notified<'_>) -> Result<()> {
    let text = String::from_utf8_lossy(task.get_payload()).into_owned();
    let (word, number) = task.get_type().split_once(':').unwrap_or((task.get_type(), ""));
    match (word, task.result_writer()) {
        ("result", Some(writer)) => writer.write(task.get_payload()).await.map(|_| ()),
        ("fail", _) => Err(Error::other(text)),
        ("flaky", Some(writer)) => {
            let mut attempts = shared.attempts.lock().expect("no handler panics with it");
            let attempt = attempts.entry(writer.task_id().to_string()).or_default();
            *attempt += 1;
            match *attempt <= number.parse().unwrap_or(0) {
                true => Err(Error::other(format!("failure {attempt}"))),
                false => Ok(()),
            }
        }
        ("skip", _) => Err(SkipRetryError::new(std::io::Error::other(text)).into()),
        ("panic", _) => panic!("{text}"),
        ("sleep", _) => {
            let milliseconds = number.parse().unwrap_or(0);
            Ok(tokio::time::sleep(Duration::from_millis(milliseconds)).await)
        }
        ("slow", _) => Ok(released.await),
        _ => Ok(()),
    }
}

/// Join the payloads with newlines.
pub fn aggregate(kind: &str, group: &str, tasks: &[Task]) -> Result<Task> {
    let members: Vec<_> = tasks.iter().map(Seen::from).collect();
    say(json!({"event": "aggregated", "group": group, "tasks": members}));
    let payloads: Vec<_> = tasks.iter().map(Task::get_payload).collect();
    Task::new(kind, &payloads.join(&b'\n'))
}
