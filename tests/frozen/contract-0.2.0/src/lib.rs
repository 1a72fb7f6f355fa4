//! Uses every function of `plenum:cmdb@0.2.0` and says what each answered.

wit_bindgen::generate!({
    path: ["../../../wit/types", "../../../wit/cmdb-0.2", "../../../wit/plugin"],
    inline: r#"
        package plenum:frozen;
        world frozen {
            import plenum:cmdb/models@0.2.0;
            import plenum:cmdb/instances@0.2.0;
            import plenum:cmdb/associations@0.2.0;
            export plenum:plugin/actions@0.1.0;
        }
    "#,
    world: "plenum:frozen/frozen",
    generate_all,
});

use plenum::cmdb::associations::{self, End, GraphQuery, Walk};
use plenum::cmdb::instances::{self, Bulk, BulkAction, BulkRow, Query};
use plenum::cmdb::models;
use plenum::types::types::Error;
use serde_json::{Value, json};

struct Frozen;

export!(Frozen);

impl exports::plenum::plugin::actions::Guest for Frozen {
    fn call(_name: String, _input: String) -> Result<String, Error> {
        everything().map(|v| v.to_string())
    }
}

fn row(attributes: Value) -> BulkRow {
    BulkRow { id: None, attributes: attributes.to_string(), version: None }
}

fn all(model: &str) -> Query {
    Query {
        model: model.into(),
        filter: String::new(),
        search: String::new(),
        sort: "name".into(),
        cursor: None,
        limit: 10,
        total: true,
        at: None,
    }
}

fn everything() -> Result<Value, Error> {
    let names = models::names()?;
    let system = models::get("system")?.expect("a model that comes with the platform");
    let name = system.attributes.iter().find(|a| a.rules.name == "name").expect("its name");
    let unknown = models::get("nonsense").is_err_and(|e| e.status == 403);

    let bulk = |action, rows, all| Bulk {
        model: "system".into(),
        action,
        key: vec!["name".into()],
        rows,
        all,
        dry_run: false,
        why: Some("because".into()),
    };
    let made = instances::write_bulk(&bulk(
        BulkAction::Upsert,
        vec![row(json!({"name": "front"})), row(json!({"name": "back"})), row(json!({"colour": "red"}))],
        false,
    ))?;
    let outcomes: Vec<String> = made.rows.iter().map(|r| format!("{:?}", r.outcome)).collect();
    let wrong = made.rows[2].error.as_ref().map(|e| (e.code.clone(), e.status));
    let undone = instances::write_bulk(&bulk(BulkAction::Create, vec![row(json!({"name": "new"})), row(json!({"name": "front"}))], true))?;
    let (front, back) = (made.rows[0].id.clone().expect("an id"), made.rows[1].id.clone().expect("an id"));
    let listed = instances::query_instances(&all("system"))?;
    let searched = instances::query_instances(&Query { search: "fron".into(), sort: String::new(), total: false, ..all("system") })?;
    let long_ago = instances::query_instances(&Query { at: Some(1), ..all("system") })?;

    let changed = instances::update("system", &front, &json!({"name": "face"}).to_string(), Some(1), Some("a better name"))?;
    let then = |at| Ok::<_, Error>(instances::get("system", &front, Some(at))?.map(|i| i.label));
    let before = [then(1)?, then(253_402_300_799_000)?];
    let stale = instances::delete("system", &front, Some(1), None).err().map(|e| e.status);

    let end = |id: &str| End { model: "system".into(), id: id.into() };
    let link = associations::associate("depends_on", &end(&changed.id), &end(&back))?;
    let graph = |start: &str, walk| associations::walk_graph(&GraphQuery { start: end(start), walk, depth: 2, kinds: vec![], limit: 10 });
    let labels = |g: associations::Graph| g.nodes.into_iter().map(|n| n.label).collect::<Vec<_>>();
    let falls = labels(graph(&back, Walk::Impact)?);
    let needs = labels(graph(&changed.id, Walk::Needs)?);
    let nothing = labels(graph(&back, Walk::Needs)?);
    let related = associations::related_instances("system", &back)?.len();
    associations::dissociate(&link.id)?;
    let apart = associations::related_instances("system", &back)?.len();

    instances::delete("system", &changed.id, Some(changed.version), Some("no longer needed"))?;
    let gone = instances::get("system", &changed.id, None)?.is_none();
    let restored = instances::restore("system", &changed.id, None, None)?;
    let first = instances::restore("system", &changed.id, Some(1), None)?;
    let history = instances::history("system", &changed.id, None, 10)?;
    let count = instances::count("system", "name == \"front\"")?;

    let one = instances::create("team", &json!({"name": "frozen"}).to_string(), None)?;
    let foreign = instances::create("host", &json!({"hostname": "frozen"}).to_string(), None).err().map(|e| e.status);
    instances::delete("team", &one.id, None, None)?;
    Ok(json!({
        "models": names,
        "name": {"kind": name.rules.kind, "required": name.rules.required, "titled": !name.rules.title.is_empty()},
        "unknown": unknown,
        "outcomes": outcomes,
        "wrong": wrong,
        "undone": [undone.kept, listed.total == Some(2)],
        "listed": listed.items.iter().map(|i| i.label.as_str()).collect::<Vec<_>>(),
        "searched": searched.items.iter().map(|i| i.label.as_str()).collect::<Vec<_>>(),
        "long_ago": long_ago.items.len(),
        "before": before,
        "stale": stale,
        "falls": falls,
        "needs": needs,
        "nothing": nothing,
        "related": [related, apart],
        "gone": gone,
        "restored": restored.label,
        "first": first.label,
        "history": history.iter().map(|c| (c.version, c.why.clone(), c.before.is_some(), c.after.is_some())).collect::<Vec<_>>(),
        "count": count,
        "foreign": foreign,
    }))
}
