//! `change-request`: a run asks for a change of records and waits for its end.

use std::time::Duration;

use plenum_cmdb::CmdbError;
use plenum_cmdb::requests::{ChangeRequest, Draft, Wanted};
use plenum_workflow::{ActionContext, ActionError};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::Plugins;
use crate::interfaces::cmdb_status;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    title: String,
    reason: Option<String>,
    ticket: Option<String>,
    items: Vec<Wanted>,
}

/// What it takes.
pub(crate) fn input() -> Json {
    let item = json!({"type": "object", "required": ["act", "model"], "additionalProperties": false, "properties": {
        "act": {"enum": ["create", "update", "delete"]}, "model": {"type": "string"}, "id": {"type": "string"},
        "attributes": {"type": "object"}, "version": {"type": "integer"}}});
    json!({"type": "object", "required": ["title", "items"], "additionalProperties": false, "properties": {
        "title": {"type": "string", "maxLength": 200}, "reason": {"type": "string"}, "ticket": {"type": "string"},
        "items": {"type": "array", "minItems": 1, "maxItems": 500, "items": item}}})
}

fn refused(e: &CmdbError) -> ActionError {
    ActionError::new(e.code(), cmdb_status(e), "The CMDB refused", e.to_string())
}

impl Plugins {
    /// Repeated after a crash it finds the request that is there.
    pub(crate) async fn change_request(&self, ctx: &ActionContext, input: Json) -> Result<Json, ActionError> {
        let asked: Asked = serde_json::from_value(input)
            .map_err(|e| ActionError::new("action.input", 422, "The input is not valid", format!("change-request: {e}")))?;
        let cmdb = self.services().cmdb.clone();
        let draft = Draft {
            title: asked.title,
            reason: asked.reason.or_else(|| Some(format!("workflow run {}", ctx.run_id))),
            ticket: asked.ticket,
            items: asked.items,
            key: Some(format!("wf/{}", ctx.key)),
            ..Draft::default()
        };
        let made = cmdb.request_change(&ctx.who, draft).await.map_err(|e| refused(&e))?;
        if let Some(ended) = cmdb.change_ended(&ctx.who, &made.id).await.map_err(|e| refused(&e))? {
            return outcome(&ended);
        }
        let asked: Vec<&str> = made.needs.iter().flat_map(|n| &n.approvers).map(String::as_str).collect();
        ctx.waiting.waiting(format!("change request {} waits for {}", made.id, asked.join(" or ")), None);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = ctx.cancel.cancelled() => {
                    // What has begun goes on; what waits for a word is taken back.
                    let _ = cmdb.withdraw_change(&ctx.who, &made.id).await;
                    let detail = format!("the change request {} was cancelled with its run", made.id);
                    return Err(ActionError::new("action.cancelled", 499, "Cancelled", detail));
                }
            }
            if let Some(ended) = cmdb.change_ended(&ctx.who, &made.id).await.map_err(|e| refused(&e))? {
                return outcome(&ended);
            }
        }
    }
}

fn outcome(c: &ChangeRequest) -> Result<Json, ActionError> {
    if c.state == "done" {
        return Ok(json!({"id": c.id, "state": c.state, "records": c.records}));
    }
    let no = c.votes.iter().find(|v| !v.approve);
    let why = match (&c.error, no) {
        (Some(e), _) => e.clone(),
        (None, Some(v)) => format!("{} said no{}", v.voter, v.comment.as_deref().map(|c| format!(": {c}")).unwrap_or_default()),
        (None, None) => format!("it is {}", c.state),
    };
    Err(ActionError::new(format!("cmdb.change_{}", c.state), 409, "The change was not made", format!("change request {}: {why}", c.id)))
}
