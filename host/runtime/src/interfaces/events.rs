//! `plenum:events/publisher`: permission `events.publish`, scoped by types.

use plenum_access::{AccessError, Permission};
use plenum_store::events::{NewEvent, emit};

use super::{bad_json, error};
use crate::bindings::plenum::events::publisher::Host;
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;
use crate::{RuntimeError, Services};

/// Publishes an event for a plugin or a person. `plenum.` is the platform's own.
pub(crate) async fn publish(
    services: &Services,
    who: &plenum_access::Principal,
    source: String,
    kind: String,
    subject: String,
    data: serde_json::Value,
) -> Result<(), RuntimeError> {
    services.access.require(who, Permission::EventsPublish, &[("types", &kind)]).await?;
    let plain = |s: &str| {
        !s.is_empty() && s.len() <= 200 && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':'))
    };
    if !plain(&kind) || kind.starts_with("plenum.") {
        return Err(RuntimeError::Invalid(format!(
            "{kind:?} cannot be the type of a published event: use 1 to 200 of letters, digits, dot, hyphen, underscore, and not the platform's own plenum."
        )));
    }
    if subject.len() > 500 {
        return Err(RuntimeError::Invalid("an event's subject has at most 500 bytes".into()));
    }
    let mut tx = services.db.begin().await?;
    emit(&mut tx, NewEvent { kind, source, subject, data }).await?;
    tx.commit().await?;
    Ok(())
}

impl Host for CallState {
    async fn publish(&mut self, kind: String, subject: String, data: String) -> Result<(), Error> {
        let _span = self.span("plenum:events/publisher.publish");
        let data = serde_json::from_str(&data).map_err(|e| bad_json("data", &e))?;
        let source = format!("/plugins/{}", self.plugin.id);
        publish(&self.services, &self.info.who, source, kind, subject, data).await.map_err(|e| match &e {
            RuntimeError::Access(AccessError::Denied(d)) => error("access.denied", 403, &d.reason),
            RuntimeError::Store(plenum_store::StoreError::TooLarge(m)) => error("events.too_large", 422, m),
            e => error(e.code(), e.status(), e),
        })
    }
}
