//! asynq's client.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use asynq::client::Client;
use asynq::task::{Task, TaskInfo};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lines::{Problem, Request, answer, from_base64, requests, say};
use crate::{Place, Settings};

/// The task of a request, and what the verbs need besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    r#type: String,
    #[serde(default, deserialize_with = "from_base64")]
    payload: Vec<u8>,
    headers: Option<HashMap<String, String>>,
    queue: Option<String>,
    max_retry: Option<i32>,
    timeout: Option<f64>,
    deadline: Option<f64>,
    retention: Option<f64>,
    task_id: Option<String>,
    #[serde(default)]
    delay: f64,
    #[serde(default)]
    at: f64,
    #[serde(default)]
    unique: f64,
    #[serde(default)]
    group: String,
}

impl Wanted {
    fn task(&self) -> asynq::error::Result<Task> {
        let mut task = Task::new(&self.r#type, &self.payload)?;
        if let Some(headers) = &self.headers {
            task = task.with_headers(headers);
        }
        if let Some(queue) = &self.queue {
            task = task.with_queue(queue);
        }
        if let Some(number) = self.max_retry {
            task = task.with_max_retry(number);
        }
        if let Some(seconds) = self.timeout {
            task = task.with_timeout(Duration::from_secs_f64(seconds));
        }
        if let Some(at) = self.deadline.and_then(|at| DateTime::from_timestamp(at as i64, 0)) {
            task = task.with_deadline(at);
        }
        if let Some(seconds) = self.retention {
            task = task.with_retention(Duration::from_secs_f64(seconds));
        }
        if let Some(id) = &self.task_id {
            task = task.with_task_id(id);
        }
        Ok(task)
    }
}

/// Answer requests. The first one is `connect`, so that a test sees why a connection fails.
pub async fn run(place: Place, settings: Settings) {
    let mut requests = requests();
    say(json!({"event": "ready", "pid": std::process::id()}));
    let mut client = None;
    while let Some(request) = requests.recv().await {
        let id = request.id;
        let outcome = match &client {
            Some(client) => perform(client, request).await,
            None => match connect(&place, &settings).await {
                Ok(connected) => {
                    client = Some(connected);
                    Ok(Value::Null)
                }
                Err(error) => Err(error.into()),
            },
        };
        answer(id, outcome);
    }
}

async fn connect(place: &Place, settings: &Settings) -> asynq::error::Result<Client> {
    match (place, &settings.user, &settings.password) {
        (Place::Redis(connection), ..) => Client::new(connection.clone()).await,
        (Place::Gateway(address), Some(user), Some(password)) => {
            Client::new_with_websocket_basic_auth(address, user.clone(), password.clone()).await
        }
        (Place::Gateway(address), ..) => Client::new_with_websocket(address).await,
    }
}

async fn perform(client: &Client, request: Request) -> Result<Value, Problem> {
    match request.verb.as_str() {
        "ping" => {
            client.ping().await?;
            return Ok(Value::Null);
        }
        "close" => {
            client.close().await?;
            return Ok(Value::Null);
        }
        _ => (),
    }
    let wanted: Wanted = serde_json::from_value(request.with)?;
    let task = wanted.task()?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(wanted.at);
    let unique = Duration::from_secs_f64(wanted.unique);
    let info = match request.verb.as_str() {
        "enqueue" => client.enqueue(task).await,
        "enqueue_in" => client.enqueue_in(task, Duration::from_secs_f64(wanted.delay)).await,
        "enqueue_unique" => client.enqueue_unique(task, unique).await,
        "schedule" => client.schedule(task, at).await,
        "schedule_unique" => client.schedule_unique(task, at, unique).await,
        "add_to_group" => client.add_to_group(task, &wanted.group).await,
        "add_to_group_unique" => client.add_to_group_unique(task, &wanted.group, unique).await,
        verb => {
            return Err(Problem { kind: "request", text: format!("unknown verb {verb}") });
        }
    };
    Ok(view(&info?))
}

fn view(info: &TaskInfo) -> Value {
    json!({
        "id": info.id,
        "queue": info.queue,
        "type": info.task_type,
        "state": info.state.as_str(),
    })
}
