//! Records with what their associations lead to, some levels deep, in a number of questions that does not grow with the records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plenum_access::{Permission, Principal};
use plenum_store::filter::{Link, MAX_LINK_DEPTH, nearest};
use plenum_store::{DocumentError, Value};
use serde::Serialize;
use serde_json::Value as Json;

use crate::instances::Instance;
use crate::model::{Model, collection};
use crate::view::View;
use crate::{Cmdb, CmdbError};

/// Most paths of one expansion.
pub const MAX_PATHS: usize = 16;
/// Most records that one record shows behind one association.
pub const MAX_EACH: usize = 50;
/// Most records of an answer, beside those of the page.
pub const MAX_MORE: usize = 10_000;
/// Ids of one question.
const BATCH: usize = 400;

/// A record with those behind its associations.
#[derive(Debug, Clone, Serialize)]
pub struct Expanded {
    /// The record.
    #[serde(flatten)]
    pub instance: Instance,
    /// By the name of the association, for those that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, Vec<Expanded>>,
    /// Associations behind which there are more records than are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
}

/// What is shown: attributes, and associations that are followed.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Attributes of the records; all when empty.
    fields: BTreeSet<String>,
    /// What is followed.
    steps: BTreeMap<String, (Option<Link>, Shape)>,
}

impl Shape {
    /// Of words such as `hostname`, `runs_on.hostname` (attributes) and `runs_on`, `runs_on.belongs_to` (associations).
    pub(crate) fn parse(links: &[Link], fields: &[String], expand: &[String]) -> Result<Shape, CmdbError> {
        let bad = |m: String| CmdbError::from(DocumentError::Query(m));
        if expand.len() > MAX_PATHS || fields.len() > 200 {
            return Err(bad(format!("an answer is expanded along at most {MAX_PATHS} paths and shows at most 200 fields")));
        }
        let mut shape = Shape::default();
        for path in expand {
            let words: Vec<&str> = path.split('.').map(str::trim).collect();
            if words.len() > MAX_LINK_DEPTH {
                return Err(bad(format!("{path}: records are expanded at most {MAX_LINK_DEPTH} associations deep")));
            }
            let mut at = &mut shape;
            for word in words {
                let Some(link) = links.iter().find(|l| l.name == word) else {
                    let hint =
                        nearest(word, links.iter().map(|l| l.name.as_str())).map(|h| format!("; did you mean {h}?")).unwrap_or_default();
                    return Err(bad(format!("there is no association {word}{hint}")));
                };
                at = &mut at.steps.entry(word.to_owned()).or_insert_with(|| (Some(link.clone()), Shape::default())).1;
            }
        }
        for path in fields {
            let mut words: Vec<&str> = path.split('.').map(str::trim).collect();
            let field = words.pop().unwrap_or_default();
            let mut at = &mut shape;
            for word in words {
                match at.steps.get_mut(word) {
                    Some((_, below)) => at = below,
                    None => return Err(bad(format!("{path} is a field behind {word}, which is not expanded: add `expand={word}`"))),
                }
            }
            at.fields.insert(field.to_owned());
        }
        Ok(shape)
    }

    /// Whether it changes nothing.
    pub fn is_plain(&self) -> bool {
        self.fields.is_empty() && self.steps.is_empty()
    }

    fn check(&self, m: &Model) -> Result<(), CmdbError> {
        match self.fields.iter().find(|f| m.attribute(f).is_none() && !matches!(f.as_str(), "id" | "label")) {
            None => Ok(()),
            Some(f) => {
                let hint =
                    nearest(f, m.attributes.iter().map(|a| a.name.as_str())).map(|h| format!("; did you mean {h}?")).unwrap_or_default();
                Err(DocumentError::Query(format!("the model {} has no attribute {f}{hint}", m.name)).into())
            }
        }
    }

    fn show(&self, mut i: Instance) -> Instance {
        if let (false, Json::Object(o)) = (self.fields.is_empty(), &mut i.attributes) {
            o.retain(|k, _| self.fields.contains(k));
        }
        i
    }
}

/// One association of a level: who is linked to whom, which of them were cut off, and the level that it leads to.
type Onward = (HashMap<String, Vec<String>>, BTreeSet<String>, Level);

/// One level of the walk: records by id, with the links that lead on from each.
struct Level {
    records: HashMap<String, Instance>,
    next: BTreeMap<String, Onward>,
}

impl Cmdb {
    /// Of words such as `hostname`, `runs_on.hostname` (attributes) and `runs_on`, `runs_on.belongs_to` (associations).
    pub async fn shape(&self, fields: &[String], expand: &[String]) -> Result<Shape, CmdbError> {
        Shape::parse(&self.every_link().await?, fields, expand)
    }

    /// Records of a model with what `shape` asks for. Of models that the caller may not read nothing is shown.
    pub async fn expand(&self, who: &Principal, model: &str, items: Vec<Instance>, shape: &Shape) -> Result<Vec<Expanded>, CmdbError> {
        let view = self.view(who, Permission::CmdbRead, model).await?;
        shape.check(&view.visible())?;
        let models: HashMap<String, View> = if shape.steps.is_empty() {
            HashMap::new()
        } else {
            self.views(who).await?.into_iter().map(|v| (v.model.name.clone(), v)).collect()
        };
        let order: Vec<String> = items.iter().map(|i| i.id.clone()).collect();
        let mut left = MAX_MORE;
        let level = self.level(&models, items, shape, &mut left).await?;
        Ok(order.iter().filter_map(|id| built(&level, id, shape)).collect())
    }

    async fn level(
        &self,
        models: &HashMap<String, View>,
        items: Vec<Instance>,
        shape: &Shape,
        left: &mut usize,
    ) -> Result<Level, CmdbError> {
        let ids: Vec<String> = items.iter().map(|i| i.id.clone()).collect();
        let mut next = BTreeMap::new();
        for (name, (link, below)) in &shape.steps {
            let Some(link) = link else { continue };
            let (mut to, mut cut) = (HashMap::<String, Vec<String>>::new(), BTreeSet::new());
            let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for some in ids.chunks(BATCH) {
                self.ends(models, link, some, &mut to, &mut cut, &mut wanted).await?;
            }
            let (mut found, mut hidden) = (Vec::new(), BTreeSet::new());
            for (model, ids) in wanted {
                let Some(view) = models.get(&model) else { continue };
                let ids: Vec<String> = ids.into_iter().take(*left).collect();
                *left -= ids.len();
                for some in ids.chunks(BATCH) {
                    let read = self.docs.get_many(&collection(&model), some).await?;
                    hidden.extend(read.iter().filter(|d| !view.sees(d)).map(|d| d.id.clone()));
                    found.extend(read.into_iter().filter(|d| view.sees(d)).map(|d| view.show(d)));
                }
            }
            // What is out of reach is not there, and does not count as more.
            to.values_mut().for_each(|ids| ids.retain(|id| !hidden.contains(id)));
            let deeper = Box::pin(self.level(models, found, below, left)).await?;
            next.insert(name.clone(), (to, cut, deeper));
        }
        Ok(Level { records: items.into_iter().map(|i| (i.id.clone(), i)).collect(), next })
    }

    /// Where a link leads from some records: at most [`MAX_EACH`] of each.
    async fn ends(
        &self,
        models: &HashMap<String, View>,
        link: &Link,
        ids: &[String],
        to: &mut HashMap<String, Vec<String>>,
        cut: &mut BTreeSet<String>,
        wanted: &mut BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(), CmdbError> {
        let (here, there) = if link.backward { ("to", "from") } else { ("from", "to") };
        let marks = vec!["?"; ids.len()].join(", ");
        // One more than is shown tells that there are more.
        let sql = format!(
            "SELECT here, model, id FROM (SELECT {here}_id AS here, {there}_model AS model, {there}_id AS id, \
             ROW_NUMBER() OVER (PARTITION BY {here}_id ORDER BY {there}_id) AS n FROM cmdb_associations WHERE {here}_id IN ({marks}) AND kind = ?) ranked \
             WHERE n <= {}",
            MAX_EACH + 1
        );
        let values: Vec<Value> = ids.iter().map(Value::from).chain([link.kind.as_str().into()]).collect();
        for r in self.db.fetch_all(&sql, &values).await? {
            let (here, model, id) = (r.text("here")?, r.text("model")?, r.text("id")?);
            if !models.contains_key(&model) {
                continue;
            }
            let list = to.entry(here.clone()).or_default();
            if list.len() >= MAX_EACH {
                cut.insert(here);
                continue;
            }
            list.push(id.clone());
            wanted.entry(model).or_default().insert(id);
        }
        Ok(())
    }
}

fn built(level: &Level, id: &str, shape: &Shape) -> Option<Expanded> {
    let instance = shape.show(level.records.get(id)?.clone());
    let (mut links, mut more) = (BTreeMap::new(), Vec::new());
    for (name, (to, cut, below)) in &level.next {
        let Some((_, shape)) = shape.steps.get(name) else { continue };
        let ids = to.get(id).map_or(&[][..], Vec::as_slice);
        let found: Vec<Expanded> = ids.iter().filter_map(|id| built(below, id, shape)).collect();
        if cut.contains(id) || found.len() < ids.len() {
            more.push(name.clone());
        }
        links.insert(name.clone(), found);
    }
    Some(Expanded { instance, links, more })
}
