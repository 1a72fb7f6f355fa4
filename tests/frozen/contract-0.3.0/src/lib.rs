//! Uses every function of `plenum:metrics@0.3.0` and `plenum:notify@0.3.0` and says what each answered.

wit_bindgen::generate!({
    path: ["../../../wit/types", "../../../wit/metrics", "../../../wit/notify", "../../../wit/plugin"],
    inline: r#"
        package plenum:frozen;
        world frozen {
            import plenum:metrics/figures@0.3.0;
            import plenum:notify/notifications@0.3.0;
            export plenum:plugin/actions@0.1.0;
        }
    "#,
    world: "plenum:frozen/frozen",
    generate_all,
});

use plenum::metrics::figures;
use plenum::notify::notifications::{self, Level, Message};
use plenum::types::types::Error;
use serde_json::{Value, json};

struct Frozen;

export!(Frozen);

impl exports::plenum::plugin::actions::Guest for Frozen {
    fn call(_name: String, input: String) -> Result<String, Error> {
        let input: Value = serde_json::from_str(&input).unwrap_or_default();
        if input["trap"] == true {
            panic!("as it was told");
        }
        everything().map(|v| v.to_string())
    }
}

fn message(users: &[&str], roles: &[&str], title: &str, key: Option<&str>) -> Message {
    let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Message {
        users: own(users),
        roles: own(roles),
        level: Level::Warning,
        title: title.to_owned(),
        body: "More of it.".to_owned(),
        link: Some("/apps/frozen-three".to_owned()),
        key: key.map(str::to_owned),
    }
}

fn everything() -> Result<Value, Error> {
    let label = |v: &str| vec![("of".to_owned(), v.to_owned())];
    figures::add("seen", &label("a"), 2.0)?;
    figures::add("seen", &label("a"), 1.0)?;
    figures::set("level", &[], -4.5)?;
    figures::observe("took_seconds", &label("b"), 0.2)?;
    let code = |r: Result<(), Error>| r.err().map(|e| e.code);
    let kind = code(figures::set("seen", &label("a"), 1.0));
    let name = code(figures::add("Seen", &[], 1.0));
    let told = notifications::send(&message(&["admin", "nobody"], &["operator"], "Two things expire", Some("once")))?;
    let again = notifications::send(&message(&["admin"], &[], "Two things expire", Some("once")))?;
    let refused = |m: Message| notifications::send(&m).err().map(|e| (e.code, e.status));
    let beyond = refused(message(&["admin"], &["administrator"], "x", None));
    let empty = refused(message(&["admin"], &[], " ", None));
    Ok(json!({ "kind": kind, "name": name, "told": told, "again": again, "beyond": beyond, "empty": empty }))
}
