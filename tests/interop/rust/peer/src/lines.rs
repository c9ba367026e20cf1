//! Requests, answers and events as lines of JSON.

use std::io::{BufRead, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A request: the answer bears its id.
#[derive(Deserialize)]
pub struct Request {
    pub id: u64,
    #[serde(rename = "do")]
    pub verb: String,
    #[serde(default)]
    pub with: Value,
}

/// A failed request: a name for comparison and the text of the crate.
pub struct Problem {
    pub kind: &'static str,
    pub text: String,
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Problem { kind: "request", text: error.to_string() }
    }
}

impl From<asynq::error::Error> for Problem {
    fn from(error: asynq::error::Error) -> Self {
        use asynq::error::Error;
        let kind = match error {
            Error::TaskDuplicate => "duplicate",
            Error::TaskIdConflict => "id_conflict",
            Error::Redis(_) => "redis",
            Error::WebSocket(_) => "websocket",
            Error::Broker(_) => "broker",
            Error::InvalidMessage(_) => "invalid_message",
            _ => "other",
        };
        Problem { kind, text: error.to_string() }
    }
}

/// Write one line. A line is written at once and whole.
pub fn say(line: Value) {
    let mut output = std::io::stdout().lock();
    if writeln!(output, "{line}").is_err() {
        std::process::exit(1); // the test is gone
    }
}

/// Answer the request with this id.
pub fn answer(id: u64, outcome: Result<Value, Problem>) {
    say(match outcome {
        Ok(value) => json!({"id": id, "ok": value}),
        Err(problem) => json!({"id": id, "error": {"kind": problem.kind, "text": problem.text}}),
    });
}

/// The requests on standard input, read by a thread. The process ends with its input, so none outlives its test.
pub fn requests() -> UnboundedReceiver<Request> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let request = line.map_err(|error| error.to_string());
            match request.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string())) {
                Ok(request) => sender.send(request).unwrap_or_default(),
                Err(problem) => {
                    eprintln!("bad request: {problem}");
                    std::process::exit(2);
                }
            }
        }
        std::process::exit(1);
    });
    receiver
}

/// Bytes as base64.
pub fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

/// Bytes from base64; null is empty.
pub fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}
