//! Hands events to the plugins that subscribe to them: each has a durable cursor, each event is delivered at least once, and one that
//! a plugin fails at five times is left with a line in its log, so that it does not block what comes after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plenum_access::Permission;
use plenum_store::{Field, FieldKind, Filter, Schema};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::RuntimeError;
use crate::logs::{Level, Line};
use crate::plugin::Loaded;
use crate::service::Plugins;

const TRIES: u32 = 5;

fn schema() -> Schema {
    let text = |n: &str| Field::new(n, FieldKind::Text);
    Schema::new(vec![
        text("type"),
        text("source"),
        text("subject"),
        Field::new("time", FieldKind::Timestamp),
        Field::new("data", FieldKind::Json),
    ])
}

fn wants(plugin: &Loaded, kind: &str, event: &Json) -> bool {
    plugin.manifest.events.iter().any(|s| {
        let named = s.types.iter().any(|t| match t.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => t == kind,
        });
        named
            && plugin.grant.allows(Permission::EventsRead, &[("types", kind)])
            && s.filter.as_deref().is_none_or(|f| Filter::parse(f, &schema()).is_ok_and(|f| f.matches(event)))
    })
}

impl Plugins {
    /// Runs until the host stops. Each plugin is served by a task of its own, so that a slow one delays nobody else.
    pub(crate) async fn dispatch_events(self) {
        let stop = self.inner.shutdown.clone();
        let mut listener = self.services().events.listen();
        let mut tasks: JoinSet<bool> = JoinSet::new();
        let mut serving: HashMap<tokio::task::Id, (String, u64)> = HashMap::new();
        // Up to which change each plugin was served.
        let mut served: HashMap<String, u64> = HashMap::new();
        let mut change = 1;
        while !stop.is_cancelled() {
            for plugin in self.all_loaded() {
                let handles = !plugin.manifest.events.is_empty() && plugin.code.as_ref().is_some_and(|c| c.exports.handles_events());
                if handles && served.get(&plugin.id) != Some(&change) && !serving.values().any(|(id, _)| *id == plugin.id) {
                    let (this, id) = (self.clone(), plugin.id.clone());
                    let task = tasks.spawn(async move { this.serve(&plugin).await });
                    serving.insert(task.id(), (id, change));
                }
            }
            tokio::select! {
                () = listener.changed() => change += 1,
                Some(ended) = tasks.join_next_with_id() => {
                    let (task, well) = ended.unwrap_or_else(|e| (e.id(), false));
                    if let Some((id, upto)) = serving.remove(&task) && well {
                        served.insert(id, upto);
                    }
                }
                () = stop.cancelled() => {}
            }
        }
        // What is being handed over ends, and its place is kept.
        while tasks.join_next().await.is_some() {}
    }

    /// Hands over what is new; else waits a moment, since it is asked to again.
    async fn serve(&self, plugin: &Arc<Loaded>) -> bool {
        let Err(e) = self.deliver(plugin).await else { return true };
        tracing::warn!(plugin = plugin.id, error = %e, "events cannot be delivered now");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = self.inner.shutdown.cancelled() => {}
        }
        false
    }

    async fn deliver(&self, plugin: &Arc<Loaded>) -> Result<(), plenum_store::StoreError> {
        let events = &self.services().events;
        let name = format!("plugin/{}", plugin.id);
        let mut at = events.cursor(&name).await?;
        let kinds: Vec<String> = plugin.manifest.events.iter().flat_map(|s| &s.types).map(|t| t.trim_end_matches('*').to_owned()).collect();
        loop {
            let found = events.read(at, 100, &kinds).await?;
            if found.is_empty() {
                return Ok(());
            }
            for e in found {
                let event = e.cloud_event();
                if wants(plugin, &e.kind, &event) && !self.hand_over(plugin, &event).await {
                    // The host stops in between: this one is delivered again after its start.
                    return events.advance(&name, at).await;
                }
                at = e.seq;
                if self.inner.shutdown.is_cancelled() {
                    return events.advance(&name, at).await;
                }
            }
            events.advance(&name, at).await?;
        }
    }

    /// Whether it is done with: handled, or given up.
    async fn hand_over(&self, plugin: &Arc<Loaded>, event: &Json) -> bool {
        let kind = event.get("type").and_then(Json::as_str).unwrap_or_default();
        let mut attempt = 1;
        while attempt <= TRIES {
            // The version that is active now, which may have come while it waited.
            let handed = async {
                let (plugin, visit) = self.enter(&plugin.id).await?;
                plugin.life.stats.used(Permission::EventsRead, plugin.grant.allows(Permission::EventsRead, &[("types", kind)]));
                plugin.event(self.services(), visit, event).await
            };
            match handed.await {
                Ok(()) => return true,
                // It is not the event's fault, and it must not be lost for that.
                Err(e) if e.retry_after().is_some() => {
                    let wait = Duration::from_secs(e.retry_after().unwrap_or(1).min(30));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.inner.shutdown.cancelled() => return false,
                    }
                    if self.loaded(&plugin.id).is_none() {
                        return false;
                    }
                    continue;
                }
                // Switched off or gone: it gets this one when it is back.
                Err(RuntimeError::NotFound(_) | RuntimeError::State(_)) if self.loaded(&plugin.id).is_none() => return false,
                Err(e) if attempt == TRIES => {
                    let message = format!(
                        "the event {} was given up after {TRIES} tries: {e}",
                        event.get("id").and_then(Json::as_str).unwrap_or_default()
                    );
                    let line = Line {
                        at: plenum_store::now_ms(),
                        level: Level::Error,
                        call: String::new(),
                        message,
                        fields: json!({"type": event.get("type")}),
                    };
                    self.services().logs.append(&plugin.id, vec![line]);
                }
                Err(_) => {
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(100 * u64::from(attempt * attempt))) => {}
                        () = self.inner.shutdown.cancelled() => return false,
                    }
                }
            }
            attempt += 1;
        }
        true
    }
}
