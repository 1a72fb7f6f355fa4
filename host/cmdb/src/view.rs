//! What one caller sees of a model: which attributes, which records, and which of them they may change.
//!
//! The one place where data roles are applied. Everything that hands records out, or lets somebody name an attribute, goes through a
//! [`View`]: a record outside of it is not there, an attribute that is hidden is unknown.

use std::collections::BTreeSet;
use std::sync::Arc;

use plenum_access::{AccessError, DataRole, DataScope, Denied, KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS, Permission, Principal, Scope};
use plenum_store::{Document, DocumentError, Filter, FilterError, Query, Schema};
use serde_json::{Map, Value as Json};

use crate::instances::{Instance, InstancePage, instance, missing};
use crate::model::{Model, collection};
use crate::{Cmdb, CmdbError, StoredModel};

/// Pages that are looked through for one page of a free-text search, where not everything that matches may be shown.
const SEARCHED_PAGES: usize = 20;

/// Which records of a model.
#[derive(Debug, Clone)]
enum Reach {
    All,
    /// Those that one of the filters matches.
    Some(Vec<Filter>),
}

impl Reach {
    fn has(&self, record: &Json) -> bool {
        match self {
            Reach::All => true,
            Reach::Some(filters) => filters.iter().any(|f| f.matches(record)),
        }
    }

    /// As a filter; none when it has all.
    fn source(&self) -> Option<String> {
        match self {
            Reach::All => None,
            Reach::Some(filters) if filters.is_empty() => Some("false".to_owned()),
            Reach::Some(filters) => Some(filters.iter().map(|f| format!("({}\n)", f.source())).collect::<Vec<_>>().join(" || ")),
        }
    }
}

#[derive(Debug, Clone)]
struct Narrowed {
    read: Reach,
    write: Reach,
    hidden: BTreeSet<String>,
}

/// A model as one caller sees it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// With all attributes: what records are checked against.
    pub model: Model,
    narrowed: Option<Narrowed>,
    /// What a plugin's grant leaves of the attributes.
    grant: Option<Scope>,
}

impl View {
    /// Of a caller whom nothing narrows.
    pub(crate) fn whole(model: Model) -> View {
        View { model, narrowed: None, grant: None }
    }

    /// None when nothing of the model may be seen.
    pub(crate) fn of(model: Model, scope: Option<&DataScope>) -> Option<View> {
        let Some(scope) = scope else { return Some(View::whole(model)) };
        let schema = model.spec().schema;
        let rules: Vec<_> = scope.rules.iter().filter(|r| r.names(&model.name)).collect();
        if rules.is_empty() {
            return None;
        }
        let reach = |write: bool| {
            let rules = rules.iter().filter(|r| !write || r.write);
            let mut filters = Vec::new();
            for r in rules {
                match r.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) {
                    None => return Reach::All,
                    // A filter that does not fit the model (any more) lets nothing through.
                    Some(f) => filters.extend(Filter::parse(f, &schema)),
                }
            }
            Reach::Some(filters)
        };
        let hidden = rules.iter().flat_map(|r| r.hidden.iter().cloned()).collect();
        let narrowed = Narrowed { read: reach(false), write: reach(true), hidden };
        Some(View { model, narrowed: Some(narrowed), grant: None })
    }

    /// The same, without what the grant of a plugin leaves out.
    pub(crate) fn granted(self, who: &Principal) -> View {
        View { grant: crate::scope::limit(who).cloned(), ..self }
    }

    /// The same view of the model as a transaction holds it.
    pub(crate) fn with(self, model: Model) -> View {
        View { model, ..self }
    }

    fn hidden(&self) -> Option<&BTreeSet<String>> {
        self.narrowed.as_ref().map(|n| &n.hidden).filter(|h| !h.is_empty())
    }

    /// Whether an attribute is absent.
    pub(crate) fn hides(&self, attribute: &str) -> bool {
        self.hidden().is_some_and(|h| h.contains(attribute))
    }

    /// Whether the grant of a plugin leaves an attribute.
    pub(crate) fn grants(&self, attribute: &str) -> bool {
        let name = || format!("{}.{attribute}", self.model.name);
        self.grant.as_ref().is_none_or(|scope| scope.allows(plenum_access::ATTRIBUTES, &name()))
    }

    /// The model without what is hidden.
    pub(crate) fn visible(&self) -> Model {
        let Some(hidden) = self.hidden() else { return self.model.clone() };
        let mut m = self.model.clone();
        m.attributes.retain(|a| !hidden.contains(&a.name));
        m.unique.retain(|u| !u.iter().any(|n| hidden.contains(n)));
        m.identification.retain(|u| !u.iter().any(|n| hidden.contains(n)));
        m.template = m.template.filter(|t| !hidden.iter().any(|h| t.contains(&format!("{{{h}}}"))));
        if hidden.contains(&m.display) {
            m.display = m.attributes.iter().find(|a| a.kind.single()).map_or_else(|| "id".to_owned(), |a| a.name.clone());
        }
        m
    }

    /// The fields that a filter, an order or a group may name.
    pub(crate) fn schema(&self) -> Schema {
        let mut schema = self.model.spec().schema;
        if let Some(hidden) = self.hidden() {
            schema.fields.retain(|f| !hidden.contains(&f.name));
        }
        schema
    }

    /// The filter of a query, over what the caller may name.
    pub(crate) fn checked(&self, query: &Query) -> Result<Option<Filter>, CmdbError> {
        let Some(own) = query.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) else { return Ok(None) };
        let parsed = match &query.links {
            Some(links) => Filter::parse_linked(own, &self.schema(), links),
            None => Filter::parse(own, &self.schema()),
        };
        Ok(Some(parsed.map_err(DocumentError::Filter)?))
    }

    /// The records in reach, for those who look at the model through a link.
    pub(crate) fn within(&self) -> Result<Option<Filter>, CmdbError> {
        let Some(reach) = self.narrowed.as_ref().and_then(|n| n.read.source()) else { return Ok(None) };
        Ok(Some(Filter::parse(&reach, &self.model.spec().schema).map_err(DocumentError::Filter)?))
    }

    /// Whether a free text would be found in what is hidden too.
    pub(crate) fn hides_words(&self, query: &Query) -> bool {
        self.hidden().is_some() && query.search.as_deref().is_some_and(|s| !s.trim().is_empty())
    }

    /// A query of the caller's, held to what the caller sees: its fields are those of the schema, and the records those in reach.
    pub(crate) fn narrow(&self, query: &Query) -> Result<Query, CmdbError> {
        let Some(n) = &self.narrowed else { return Ok(query.clone()) };
        let mut query = query.clone();
        let schema = self.schema();
        if let Some((field, _)) = &query.sort
            && !schema.names().any(|s| s == field)
        {
            let hint = plenum_store::filter::nearest(field, schema.names()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(DocumentError::Query(format!("records cannot be sorted by {field}: there is no such field{hint}")).into());
        }
        // By itself first: its fields have to be visible ones, and its brackets its own.
        self.checked(&query)?;
        let own = query.filter.as_deref().map(str::trim).filter(|f| !f.is_empty());
        query.filter = match (n.read.source(), own) {
            (None, own) => own.map(str::to_owned),
            (Some(reach), None) => Some(reach),
            // A comment at its end must not swallow the bracket.
            (Some(reach), Some(own)) => Some(format!("({reach}) && ({own}\n)")),
        };
        Ok(query)
    }

    /// Whether the record may be seen.
    pub(crate) fn sees(&self, d: &Document) -> bool {
        self.narrowed.as_ref().is_none_or(|n| n.read.has(&record(d)))
    }

    /// Whether the record may be changed: it is in reach and may be written.
    pub(crate) fn changes(&self, d: &Document) -> bool {
        self.narrowed.as_ref().is_none_or(|n| {
            let r = record(d);
            n.read.has(&r) && n.write.has(&r)
        })
    }

    /// Whether nothing narrows it.
    pub(crate) fn is_whole(&self) -> bool {
        self.narrowed.is_none()
    }

    /// Whether only some records may be seen.
    pub(crate) fn is_narrowed(&self) -> bool {
        self.narrowed.as_ref().is_some_and(|n| matches!(n.read, Reach::Some(_)))
    }

    /// Whether all attributes may be seen.
    pub(crate) fn shows_all(&self) -> bool {
        self.hidden().is_none() && self.grant.is_none()
    }

    /// Refuses a record that may not be changed: one that may not even be seen is not there.
    pub(crate) fn must_change(&self, d: &Document) -> Result<(), CmdbError> {
        if self.changes(d) {
            return Ok(());
        }
        if !self.sees(d) {
            return Err(missing(&self.model.name, &d.id));
        }
        Err(denied(format!("your data roles let you see {}/{} and not change it; ask an administrator", self.model.name, d.id)))
    }

    /// Refuses a record as it became.
    pub(crate) fn must_still_change(&self, d: &Document) -> Result<(), CmdbError> {
        if self.changes(d) {
            return Ok(());
        }
        Err(denied(format!("the {} would be outside of what your data roles let you change; ask an administrator", self.model.name)))
    }

    /// Refuses attributes that the caller does not know, with the nearest of those that are known.
    pub(crate) fn must_know<'a>(&self, keys: impl IntoIterator<Item = &'a String>) -> Result<(), CmdbError> {
        if self.hidden().is_none() {
            return Ok(());
        }
        let known = |k: &String| self.model.attribute(k).is_some() && !self.hides(k);
        match keys.into_iter().find(|k| !known(k)) {
            Some(k) => {
                let names = self.model.attributes.iter().map(|a| a.name.as_str()).filter(|n| !self.hides(n));
                let near = plenum_store::filter::nearest(k, names).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                let message = format!("the model {} has no attribute {k}{near}", self.model.name);
                Err(CmdbError::InvalidInstance { pointer: format!("/{k}"), message })
            }
            None => Ok(()),
        }
    }

    /// An error of a check or of a unique key, without the names of what is hidden.
    pub(crate) fn discreet(&self, e: CmdbError) -> CmdbError {
        let Some(hidden) = self.hidden() else { return e };
        let general =
            || CmdbError::InUse("what would be kept breaks a rule about attributes that you do not see; ask an administrator".into());
        match e {
            CmdbError::InvalidInstance { pointer, .. } if pointer.split('/').nth(1).is_some_and(|k| hidden.contains(k)) => general(),
            CmdbError::Document(DocumentError::Duplicate { fields }) if fields.iter().any(|f| hidden.contains(f)) => general(),
            e => e,
        }
    }

    /// The attributes without what is hidden.
    pub(crate) fn strip(&self, attributes: &mut Json) {
        if let Some(scope) = &self.grant {
            crate::scope::trim(scope, &self.model, attributes);
        }
        if let (Some(hidden), Json::Object(o)) = (self.hidden(), attributes) {
            o.retain(|k, _| !hidden.contains(k));
        }
    }

    /// A record as the caller sees it.
    pub(crate) fn show(&self, mut d: Document) -> Instance {
        self.strip(&mut d.data);
        // Its label is made of what is left.
        instance(&self.model, d)
    }

    /// A record that was read whole, as the caller sees it.
    pub(crate) fn show_instance(&self, mut i: Instance) -> Instance {
        self.strip(&mut i.attributes);
        i.label = self.model.label(&i.attributes, &i.id);
        i
    }

    /// Whether a free text is found in what the caller sees of a record.
    fn finds(&self, text: &str, d: &Document) -> bool {
        fn texts(v: &Json, out: &mut String) {
            match v {
                Json::String(s) => {
                    out.push_str(&s.to_lowercase());
                    out.push('\n');
                }
                Json::Number(n) => {
                    out.push_str(&n.to_string());
                    out.push('\n');
                }
                Json::Array(a) => a.iter().for_each(|v| texts(v, out)),
                Json::Object(o) => o.values().for_each(|v| texts(v, out)),
                _ => {}
            }
        }
        let mut data = d.data.clone();
        self.strip(&mut data);
        let mut all = String::new();
        texts(&data, &mut all);
        text.to_lowercase().split_whitespace().all(|w| all.contains(w))
    }
}

fn denied(reason: String) -> CmdbError {
    AccessError::Denied(Denied { permission: Permission::CmdbWrite, reason }).into()
}

/// A document as filters see it: with what the row's columns hold.
fn record(d: &Document) -> Json {
    let mut data = d.data.clone();
    if let Json::Object(o) = &mut data {
        o.insert("id".into(), d.id.clone().into());
        o.insert("version".into(), d.version.into());
        o.insert("created_at".into(), d.created_at.into());
        o.insert("updated_at".into(), d.updated_at.into());
    }
    data
}

impl Cmdb {
    /// The model as the caller sees it; one of which nothing may be seen is not there.
    pub(crate) async fn view(&self, who: &Principal, permission: Permission, model: &str) -> Result<View, CmdbError> {
        Ok(self.stored_view(who, permission, model).await?.1)
    }

    pub(crate) async fn stored_view(&self, who: &Principal, permission: Permission, model: &str) -> Result<(StoredModel, View), CmdbError> {
        self.access.require(who, permission, &[("models", model), KEEPS_TO_ATTRIBUTES, KEEPS_TO_RECORDS]).await?;
        let scope = self.access.data_scope(who).await?;
        let unknown = || CmdbError::NoModel { name: model.to_owned(), hint: None };
        let stored = match self.stored(model).await {
            // The nearest name may be that of a model that is not to be known.
            Err(CmdbError::NoModel { .. }) if scope.is_some() => return Err(unknown()),
            other => other?,
        };
        let view = View::of(stored.model.clone(), scope.as_deref()).ok_or_else(unknown)?.granted(who);
        Ok((crate::scope::shown_model(who, StoredModel { model: view.visible(), ..stored }), view))
    }

    /// What narrows the caller: asked before a transaction begins, which would otherwise need two connections.
    pub(crate) async fn scope(&self, who: &Principal) -> Result<Option<Arc<DataScope>>, CmdbError> {
        Ok(self.access.data_scope(who).await?)
    }

    /// A page of what the caller sees, now or at a moment.
    pub(crate) async fn page(&self, who: &Principal, view: &View, query: &Query, at: Option<i64>) -> Result<InstancePage, CmdbError> {
        let query = &self.with_links(who, &view.model, query).await?;
        if view.is_whole() {
            self.may_ask(who, &view.model, query).await?;
        } else {
            // What is hidden is unknown, before it is refused.
            let narrowed = view.narrow(query)?;
            self.may_ask(who, &view.model, &Query { filter: query.filter.clone(), ..narrowed }).await?;
        }
        let mut query = view.narrow(query)?;
        let name = collection(&view.model.name);
        let text = query.search.clone().filter(|s| !s.trim().is_empty());
        let hidden_words = text.filter(|_| view.hidden().is_some());
        if hidden_words.is_some() {
            // It would count what matches by hidden words.
            query.with_total = false;
        }
        let mut items = Vec::new();
        let wanted = if query.limit == 0 { 50 } else { query.limit as usize };
        for _ in 0..SEARCHED_PAGES {
            let page = match at {
                None => self.docs.query(&name, &query).await?,
                Some(at) => self.docs.query_at(&name, &query, at).await?,
            };
            let Some(text) = &hidden_words else {
                let items = page.items.into_iter().map(|d| view.show(d)).collect();
                return Ok(InstancePage { items, next_cursor: page.next_cursor, total: page.total });
            };
            items.extend(page.items.into_iter().filter(|d| view.finds(text, d)).map(|d| view.show(d)));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() || items.len() >= wanted {
                break;
            }
        }
        Ok(InstancePage { items, next_cursor: query.cursor, total: None })
    }

    /// One record, if the caller sees it.
    pub(crate) async fn seen(&self, view: &View, id: &str) -> Result<Document, CmdbError> {
        let d = self.docs.get(&collection(&view.model.name), id).await?;
        d.filter(|d| view.sees(d)).ok_or_else(|| missing(&view.model.name, id))
    }

    /// Those of the records that the caller may change: jobs run for nobody on others.
    pub async fn changeable(&self, who: &Principal, model: &str, ids: &[String]) -> Result<BTreeSet<String>, CmdbError> {
        let Some(scope) = self.scope(who).await? else { return Ok(ids.iter().cloned().collect()) };
        let mut out = BTreeSet::new();
        let Some(view) = self.known_view(&scope, model).await? else { return Ok(out) };
        for some in ids.chunks(500) {
            let found = self.docs.get_many(&collection(model), some).await?;
            out.extend(found.into_iter().filter(|d| view.changes(d)).map(|d| d.id));
        }
        Ok(out)
    }

    /// Those of the nodes whose host the caller may not change; a node without a host is nobody's who is narrowed.
    pub async fn nodes_out_of_reach(&self, who: &Principal, nodes: &[String]) -> Result<Vec<String>, CmdbError> {
        let Some(scope) = self.scope(who).await? else { return Ok(Vec::new()) };
        let mut within = BTreeSet::new();
        if let Some(view) = self.known_view(&scope, "host").await? {
            for some in nodes.chunks(50) {
                let filter = Some(format!("node_id in {}", Json::from(some)));
                let hosts = self.docs.query(&collection("host"), &Query { filter, limit: 1000, ..Query::default() }).await?;
                for d in hosts.items.iter().filter(|d| view.changes(d)) {
                    within.extend(d.data.get("node_id").and_then(Json::as_str).map(str::to_owned));
                }
            }
        }
        Ok(nodes.iter().filter(|n| !within.contains(*n)).cloned().collect())
    }

    /// Writes a data role: its rules are checked against the models that they name.
    pub async fn put_data_role(
        &self,
        who: &Principal,
        role: DataRole,
        expected: Option<i64>,
    ) -> Result<plenum_access::StoredDataRole, CmdbError> {
        self.access.require(who, Permission::UsersManage, &[]).await?;
        role.check()?;
        let rows = self.db.fetch_all("SELECT version, builtin, spec FROM cmdb_models ORDER BY name LIMIT 1000", &[]).await?;
        let models: Vec<Model> = rows.iter().map(|r| Ok(crate::decode(r.json("spec")?)?)).collect::<Result<_, CmdbError>>()?;
        let bad = |field: String, message: String| Err(CmdbError::Access(AccessError::Invalid { field, message }));
        for (i, rule) in role.rules.iter().enumerate() {
            for name in &rule.models {
                if !name.ends_with('*') && !models.iter().any(|m| m.name == *name) {
                    let near =
                        plenum_store::filter::nearest(name, models.iter().map(|m| m.name.as_str())).map(|n| format!("; did you mean {n}?"));
                    return bad(format!("rules/{i}/models"), format!("there is no model {name}{}", near.unwrap_or_default()));
                }
            }
            let named: Vec<&Model> = models.iter().filter(|m| rule.names(&m.name)).collect();
            if let Some(f) = rule.filter.as_deref().map(str::trim).filter(|f| !f.is_empty()) {
                let errors: Vec<(&str, FilterError)> =
                    named.iter().filter_map(|m| Filter::parse(f, &m.spec().schema).err().map(|e| (m.name.as_str(), e))).collect();
                // Of models named by a pattern some may lack an attribute, and are then not shown; of one named by name it is a mistake.
                let by_name = errors.iter().find(|(m, _)| rule.models.iter().any(|n| n == m));
                let none_fits = errors.first().filter(|_| errors.len() == named.len());
                if let Some((m, e)) = by_name.or(none_fits) {
                    return bad(format!("rules/{i}/filter"), format!("the filter does not fit {m}: {e}"));
                }
            }
            for h in &rule.hidden {
                if !named.is_empty() && !named.iter().any(|m| m.attribute(h).is_some()) {
                    let known = named.iter().flat_map(|m| m.attributes.iter().map(|a| a.name.as_str()));
                    let near = plenum_store::filter::nearest(h, known).map(|n| format!("; did you mean {n}?"));
                    return bad(
                        format!("rules/{i}/hidden"),
                        format!("none of the models has an attribute {h}{}", near.unwrap_or_default()),
                    );
                }
            }
        }
        Ok(self.access.put_data_role(who, &role, expected).await?)
    }

    /// What the caller may hear of an event: of records that the caller does not see, nothing; of others without what is hidden.
    /// Events that are not the CMDB's are not its matter.
    pub async fn hears(&self, who: &Principal, mut event: plenum_store::Event) -> Result<Option<plenum_store::Event>, CmdbError> {
        if !event.kind.starts_with("plenum.cmdb.") {
            return Ok(Some(event));
        }
        let Some(scope) = self.scope(who).await? else { return Ok(Some(event)) };
        let text = |v: &Json, key: &str| v.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
        if event.kind.starts_with("plenum.cmdb.instance.") {
            let (model, id) = (text(&event.data, "model"), text(&event.data, "id"));
            let Some(view) = self.known_view(&scope, &model).await? else { return Ok(None) };
            let Some(attributes) = self.last_known(&view, &id).await? else { return Ok(None) };
            if let Some(o) = event.data.as_object_mut() {
                o.insert("label".into(), view.model.label(&attributes, &id).into());
                if let Some(Json::Array(changed)) = o.get_mut("changed") {
                    changed.retain(|c| c.as_str().is_none_or(|c| !view.hides(c)));
                }
            }
            return Ok(Some(event));
        }
        if event.kind.starts_with("plenum.cmdb.association.") {
            for end in ["from", "to"] {
                let end = event.data.get(end).cloned().unwrap_or_default();
                let Some(view) = self.known_view(&scope, &text(&end, "model")).await? else { return Ok(None) };
                if self.last_known(&view, &text(&end, "id")).await?.is_none() {
                    return Ok(None);
                }
            }
            return Ok(Some(event));
        }
        if event.kind.starts_with("plenum.cmdb.model.") {
            return Ok(self.known_view(&scope, &text(&event.data, "model")).await?.map(|_| event));
        }
        // Kinds of associations are no secret; of anything else it is not known whose it is.
        Ok(Some(event).filter(|e| e.kind.starts_with("plenum.cmdb.association-kind.")))
    }

    async fn known_view(&self, scope: &DataScope, model: &str) -> Result<Option<View>, CmdbError> {
        match self.stored(model).await {
            Ok(m) => Ok(View::of(m.model, Some(scope))),
            Err(CmdbError::NoModel { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A record that the caller sees, or saw until it was deleted: its attributes without what is hidden.
    pub(crate) async fn last_known(&self, view: &View, id: &str) -> Result<Option<Json>, CmdbError> {
        let name = collection(&view.model.name);
        let d = match self.docs.get(&name, id).await? {
            Some(d) => d,
            None => match self.docs.history(&name, id, None, 1).await?.pop() {
                Some(c) if c.before.is_object() => {
                    Document { id: id.to_owned(), version: c.version, data: c.before, created_at: c.at, updated_at: c.at }
                }
                _ => return Ok(None),
            },
        };
        if !view.sees(&d) {
            return Ok(None);
        }
        let mut data = d.data;
        view.strip(&mut data);
        Ok(Some(data))
    }
}

/// Keeps of a change what the caller sees.
pub(crate) fn strip_change(view: &View, mut c: plenum_store::Change) -> plenum_store::Change {
    view.strip(&mut c.before);
    view.strip(&mut c.after);
    c
}

/// The keys of a JSON object.
pub(crate) fn keys(v: &Json) -> impl Iterator<Item = &String> {
    v.as_object().into_iter().flat_map(Map::keys)
}
