//! asynq's server.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use asynq::backend::{WebSocketBroker, WebSocketInspector};
use asynq::components::aggregator::GroupAggregatorFunc;
use asynq::config::ServerConfig;
use asynq::server::Server;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::handlers::{Shared, aggregate, mux};
use crate::lines::{Problem, answer, requests, say};
use crate::{Place, Settings};

/// Run tasks until SIGINT, on which the crate reacts, or SIGTERM, which it leaves to programs.
///
/// It is `ready` before it has registered itself: the crate does not report when that is done.
pub async fn run(place: Place, settings: Settings) -> Result<(), Box<dyn Error>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let shared = Arc::new(Shared::default());
    let mut server = server(place, settings).await?;
    tokio::spawn(obey(shared.clone()));
    say(json!({"event": "ready", "pid": std::process::id()}));
    tokio::select! {
        outcome = server.start(mux(&shared)) => outcome?,
        _ = terminated.recv() => (),
    }
    server.shutdown().await?;
    say(json!({"event": "closed"}));
    Ok(())
}

async fn obey(shared: Arc<Shared>) {
    let mut requests = requests();
    while let Some(request) = requests.recv().await {
        answer(
            request.id,
            match request.verb.as_str() {
                "release" => {
                    shared.release.notify_waiters();
                    Ok(Value::Null)
                }
                verb => Err(Problem { kind: "request", text: format!("unknown verb {verb}") }),
            },
        );
    }
}

async fn server(place: Place, settings: Settings) -> Result<Server, Box<dyn Error>> {
    let kind = settings.aggregate_type.clone().unwrap_or("ok:aggregated".to_string());
    let with_groups = settings.aggregate;
    let (user, password) = (settings.user.clone(), settings.password.clone());
    let config = config(settings)?;
    let mut server = match place {
        Place::Redis(connection) => Server::new(connection, config).await?,
        Place::Gateway(address) => {
            let broker = WebSocketBroker::with_basic_auth(&address, user, password).await?;
            let inspector = Arc::new(WebSocketInspector::new());
            Server::with_broker_and_inspector(Arc::new(broker), inspector, config).await?
        }
    };
    if with_groups {
        let function = move |group: &str, tasks: Vec<_>| aggregate(&kind, group, &tasks);
        server.set_group_aggregator(GroupAggregatorFunc::new(function));
    }
    Ok(server)
}

fn config(settings: Settings) -> asynq::error::Result<ServerConfig> {
    let given = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
    let mut config =
        ServerConfig::new().strict_priority(settings.strict).enable_group_aggregator(settings.aggregate);
    config.concurrency = settings.concurrency.unwrap_or(config.concurrency);
    config.queues = settings.queues.unwrap_or(config.queues);
    config.shutdown_timeout = given(settings.shutdown_timeout).unwrap_or(config.shutdown_timeout);
    config.task_check_interval = given(settings.check_interval).unwrap_or(config.task_check_interval);
    config.delayed_task_check_interval =
        given(settings.delayed_interval).unwrap_or(config.delayed_task_check_interval);
    config.janitor_interval = given(settings.janitor_interval).unwrap_or(config.janitor_interval);
    config.health_check_interval = given(settings.health_interval).unwrap_or(config.health_check_interval);
    config.heartbeat_interval = given(settings.heartbeat_interval).unwrap_or(config.heartbeat_interval);
    config.group_max_delay = given(settings.group_max_delay);
    config.group_max_size = settings.group_max_size;
    match given(settings.group_grace) {
        Some(grace) => config.group_grace_period(grace),
        None => Ok(config),
    }
}
