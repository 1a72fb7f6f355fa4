//! What a filter may look at beside the record itself: records of other collections, through links between records; and filters
//! that have a name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Field, FieldKind, Filter, Schema};

/// Most links that a filter follows one after the other.
pub const MAX_LINK_DEPTH: usize = 3;
/// Most named filters within each other.
pub(super) const MAX_NAMED_DEPTH: usize = 4;

/// The table of links, by the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTable {
    /// Its name.
    pub table: &'static str,
    /// The kind of the link.
    pub kind: &'static str,
    /// Collection and id of the record that it begins at.
    pub from: (&'static str, &'static str),
    /// Collection and id of the record that it leads to.
    pub to: (&'static str, &'static str),
}

/// A kind of link in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How filters call it.
    pub name: String,
    /// The kind, as the table has it.
    pub kind: String,
    /// Whether it is followed from its end to its beginning.
    pub backward: bool,
}

/// A collection that links may lead to.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// Its name, as the table of links and filters have it.
    pub name: String,
    /// The fields that may be looked at.
    pub schema: Schema,
    /// Those of them with an index.
    pub indexed: Vec<String>,
    /// The records that may be looked at; all when absent.
    pub within: Option<Filter>,
    /// The table of its documents.
    pub table: String,
}

/// A filter that others can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Of which collection.
    pub of: String,
    /// What it says.
    pub source: String,
}

/// All that surrounds the records of a collection. Of collections that are not here nothing is seen.
#[derive(Debug, Clone)]
pub struct Links {
    /// The table of links.
    pub table: LinkTable,
    /// The collection of the filter's own records.
    pub home: String,
    /// By name.
    pub neighbours: BTreeMap<String, Arc<Neighbour>>,
    /// Kinds and directions.
    pub links: Vec<Link>,
    /// Which links there are: kind, collection at the beginning, collection at the end.
    pub shapes: BTreeSet<(String, String, String)>,
    /// Filters by name.
    pub named: BTreeMap<String, Named>,
}

impl Links {
    /// A link by the name that filters use.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|l| l.name == name)
    }

    /// The collections that `link` leads to from `from`, by what is stored.
    pub fn targets(&self, link: &Link, from: &str) -> Vec<Arc<Neighbour>> {
        let other = |(kind, a, b): &(String, String, String)| {
            let (here, there) = if link.backward { (b, a) } else { (a, b) };
            (*kind == link.kind && here == from).then(|| self.neighbours.get(there).cloned()).flatten()
        };
        let mut out: Vec<Arc<Neighbour>> = self.shapes.iter().filter_map(other).collect();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out.dedup_by(|a, b| a.name == b.name);
        out
    }
}

/// A record with those that its links lead to, for [`Filter::matches_record`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Its collection.
    pub collection: String,
    /// Its fields, `id` and times among them.
    pub data: Json,
    /// By the name of the link.
    pub links: BTreeMap<String, Vec<Record>>,
}

/// Following a link from the record at `depth`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reach {
    pub depth: usize,
    /// The name, as the filter has it.
    pub name: String,
    pub kind: String,
    pub backward: bool,
    pub table: LinkTable,
    /// The one collection that the filter names.
    pub only: Option<String>,
    /// Where it leads, by the collection that it is followed from.
    pub targets: Vec<(String, Vec<Arc<Neighbour>>)>,
}

impl Reach {
    /// Where it leads from a collection.
    pub fn from(&self, collection: &str) -> &[Arc<Neighbour>] {
        self.targets.iter().find(|(from, _)| from == collection).map_or(&[], |(_, to)| to)
    }

    /// Column of the id of the record that it is followed from; collection and id of where it leads.
    pub fn columns(&self) -> (&'static str, (&'static str, &'static str)) {
        if self.backward { (self.table.to.1, self.table.from) } else { (self.table.from.1, self.table.to) }
    }
}

/// What a name means on records of one of several collections.
pub(super) enum Meaning {
    Is(FieldKind),
    /// Different things in these two.
    Differs((String, FieldKind), (String, FieldKind)),
    Unknown,
}

/// The field `name` in those of the collections that have it.
pub(super) fn meaning(of: &[Arc<Neighbour>], name: &str) -> Meaning {
    let mut found: Option<(&str, &Field)> = None;
    for n in of {
        match (found, n.schema.field(name)) {
            (Some((first, a)), Some(b)) if a.kind != b.kind => {
                return Meaning::Differs((first.to_owned(), a.kind.clone()), (n.name.clone(), b.kind.clone()));
            }
            (None, Some(f)) => found = Some((&n.name, f)),
            _ => {}
        }
    }
    found.map_or(Meaning::Unknown, |(_, f)| Meaning::Is(f.kind.clone()))
}
