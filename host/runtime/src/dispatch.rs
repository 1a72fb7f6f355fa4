//! Hands events to the plugins that subscribe to them: each has a durable cursor, each event is delivered at least once, and one that
//! a plugin fails at five times is left with a line in its log, so that it does not block what comes after.

use std::sync::Arc;
use std::time::Duration;

use plenum_access::Permission;
use plenum_store::{Field, FieldKind, Filter, Schema};
use serde_json::{Value as Json, json};

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
    /// Runs until the host stops.
    pub(crate) async fn dispatch_events(self) {
        let stop = self.inner.shutdown.clone();
        let mut listener = self.services().events.listen();
        loop {
            for plugin in self.all_loaded() {
                if plugin.manifest.events.is_empty() || !plugin.code.as_ref().is_some_and(|c| c.exports.handles_events()) {
                    continue;
                }
                if let Err(e) = self.deliver(&plugin).await {
                    tracing::warn!(plugin = plugin.id, error = %e, "events cannot be delivered now");
                }
            }
            tokio::select! {
                () = listener.changed() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn deliver(&self, plugin: &Arc<Loaded>) -> Result<(), plenum_store::StoreError> {
        let events = &self.services().events;
        let name = format!("plugin/{}", plugin.id);
        let mut at = events.cursor(&name).await?;
        let kinds: Vec<String> = plugin.manifest.events.iter().flat_map(|s| &s.types).map(|t| t.trim_end_matches('*').to_owned()).collect();
        loop {
            let found = events.read(at, 100, &kinds).await?;
            let Some(last) = found.last().map(|e| e.seq) else { return Ok(()) };
            for e in found {
                let event = e.cloud_event();
                if wants(plugin, &e.kind, &event) {
                    self.hand_over(plugin, &event).await;
                }
                if self.inner.shutdown.is_cancelled() {
                    return events.advance(&name, e.seq).await;
                }
            }
            events.advance(&name, last).await?;
            at = last;
        }
    }

    async fn hand_over(&self, plugin: &Arc<Loaded>, event: &Json) {
        for attempt in 1..=TRIES {
            match plugin.event(self.services(), event).await {
                Ok(()) => return,
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
                        () = self.inner.shutdown.cancelled() => return,
                    }
                }
            }
        }
    }
}
