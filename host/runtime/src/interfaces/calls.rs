//! `plenum:plugin/calls`: actions of other plugins. Permission `plugins.use`, scoped by `actions`.

use plenum_access::AccessError;
use tokio_util::task::AbortOnDropHandle;

use super::{bad_json, error};
use crate::RuntimeError;
use crate::bindings::plenum::plugin::calls::Host;
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;

/// Calls within calls: each holds a place, and a circle would otherwise hold all.
const DEPTH: u32 = 4;

impl Host for CallState {
    async fn call(&mut self, plugin: String, action: String, input: String) -> Result<String, Error> {
        let _span = self.span("plenum:plugin/calls.call");
        if self.info.depth >= DEPTH {
            return Err(error("plugin.depth", 422, format!("calls of plugins that call plugins go {DEPTH} deep at most")));
        }
        let input = serde_json::from_str(&input).map_err(|e| bad_json("input", &e))?;
        let plugins = self.services.plugins().map_err(|e| error(e.code(), e.status(), &e))?;
        let (who, depth) = (self.info.who.clone(), self.info.depth + 1);
        // A task of its own: polled within this call it would wait for a turn to compute that this call holds while it is polled, and neither
        // would go on. Dropped with this call, it ends.
        let call = async move { plugins.call_for(&who, &plugin, &action, &input, None, depth).await };
        let answer: Result<serde_json::Value, RuntimeError> = AbortOnDropHandle::new(tokio::spawn(call))
            .await
            .unwrap_or_else(|e| Err(RuntimeError::Internal(format!("the call of another plugin ended: {e}"))));
        answer.map(|v| v.to_string()).map_err(|e| match &e {
            RuntimeError::Access(AccessError::Denied(d)) => error("access.denied", 403, &d.reason),
            e => error(e.code(), e.status(), e),
        })
    }
}
