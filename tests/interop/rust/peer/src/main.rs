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
use std::error::Error;

use asynq::backend::RedisConnectionType;
use serde::Deserialize;
use tokio::runtime::Builder;

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
    /// Run on one thread: on several, the crate's WebSocket broker can give an answer to another caller.
    pub one_thread: bool,
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

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(problem) = start(&arguments) {
        eprintln!("{problem}");
        std::process::exit(2);
    }
}

fn start(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let usage = "usage: peer client|server <redis URL or address> [<settings>]";
    let [role, address, ..] = arguments else {
        return Err(usage.into());
    };
    let place = Place::from(address)?;
    let settings: Settings = serde_json::from_str(arguments.get(2).map_or("{}", String::as_str))?;
    let mut runtime = match settings.one_thread {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match role.as_str() {
            "client" => client::run(place, settings).await,
            "server" => server::run(place, settings).await?,
            _ => return Err(usage.into()),
        }
        Ok(())
    })
}
