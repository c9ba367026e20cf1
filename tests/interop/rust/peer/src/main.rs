//! A peer for the tests of asynqio: a program that uses the crate `asynq`, controlled by lines of JSON.
//!
//!     peer client|server <redis URL, or address of a gateway> [<settings as JSON>]
//!
//! Requests come in on standard input, {"id": 1, "do": "verb", "with": {…}}; each is answered on standard output by
//! {"id": 1, "ok": …} or {"id": 1, "error": {"kind": …, "text": …}}. Events are lines too:
//! {"event": "started", …}. Logs go to standard error. Times are Unix seconds, durations seconds, both with a
//! fraction. Bytes are base64. A peer ends with its standard input, so none outlives its test.

mod client;
mod handlers;
mod lines;
mod server;

use std::collections::HashMap;

use asynq::backend::RedisConnectionType;
use serde::Deserialize;

/// Where tasks are stored: Redis, or behind the WebSocket of a gateway.
pub enum Place {
    Redis(RedisConnectionType),
    /// The address as the crate accepts it: `host:port`, or a URL.
    Gateway(String),
}

impl Place {
    fn from(address: &str) -> asynq::error::Result<Self> {
        Ok(match address.starts_with("redis") {
            true => Place::Redis(RedisConnectionType::single(address)?),
            false => Place::Gateway(address.to_string()),
        })
    }
}

/// The settings of both roles. Absent ones are the defaults of the crate.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub user: Option<String>,
    pub password: Option<String>,
    pub concurrency: Option<usize>,
    pub queues: Option<HashMap<String, i32>>,
    pub strict: bool,
    pub shutdown_timeout: Option<f64>,
    pub check_interval: Option<f64>,
    pub delayed_interval: Option<f64>,
    pub janitor_interval: Option<f64>,
    pub health_interval: Option<f64>,
    pub heartbeat_interval: Option<f64>,
    pub aggregate: bool,
    /// The type of the aggregated task.
    pub aggregate_type: Option<String>,
    pub group_grace: Option<f64>,
    pub group_max_delay: Option<f64>,
    pub group_max_size: Option<usize>,
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(problem) = run(&arguments).await {
        eprintln!("{problem}");
        std::process::exit(2);
    }
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: peer client|server <redis URL or address> [<settings>]";
    let (role, address) = match arguments {
        [role, address, ..] => (role.as_str(), Place::from(address)?),
        _ => return Err(usage.into()),
    };
    let settings = serde_json::from_str(arguments.get(2).map_or("{}", String::as_str))?;
    match role {
        "client" => client::run(address, settings).await,
        "server" => server::run(address, settings).await?,
        _ => return Err(usage.into()),
    }
    Ok(())
}
