//! `plenum:cmdb/instances@0.1.0`, by the interfaces of 0.2.0.

use crate::bindings::plenum::cmdb::associations::Host as Associations;
use crate::bindings::plenum::cmdb::instances::{self as newest, Host as Instances};
use crate::bindings::plenum::types::types::Error;
use crate::bindings::v0_1::plenum::cmdb::instances::{Host, Instance, Page, Query, Related};
use crate::call::CallState;

fn instance(i: newest::Instance) -> Instance {
    let newest::Instance { id, model, label, version, attributes, created_at, updated_at } = i;
    Instance { id, model, label, version, attributes, created_at, updated_at }
}

impl Host for CallState {
    async fn query_instances(&mut self, q: Query) -> Result<Page, Error> {
        let Query { model, filter, sort, cursor, limit } = q;
        let query = newest::Query { model, filter, search: String::new(), sort, cursor, limit, total: true, at: None };
        let page = Instances::query_instances(self, query).await?;
        Ok(Page {
            items: page.items.into_iter().map(instance).collect(),
            next_cursor: page.next_cursor,
            total: page.total.unwrap_or_default(),
        })
    }

    async fn get(&mut self, model: String, id: String) -> Result<Option<Instance>, Error> {
        Ok(Instances::get(self, model, id, None).await?.map(instance))
    }

    async fn create(&mut self, model: String, attributes: String, why: Option<String>) -> Result<Instance, Error> {
        Instances::create(self, model, attributes, why).await.map(instance)
    }

    async fn update(
        &mut self,
        model: String,
        id: String,
        patch: String,
        version: Option<u64>,
        why: Option<String>,
    ) -> Result<Instance, Error> {
        Instances::update(self, model, id, patch, version, why).await.map(instance)
    }

    async fn delete(&mut self, model: String, id: String) -> Result<(), Error> {
        Instances::delete(self, model, id, None, None).await
    }

    async fn related_instances(&mut self, model: String, id: String) -> Result<Vec<Related>, Error> {
        let found = Associations::related_instances(self, model, id).await?;
        let related = |r| {
            let crate::bindings::plenum::cmdb::associations::Related { association, kind, forward, model, id, label } = r;
            Related { association, kind, forward, model, id, label }
        };
        Ok(found.into_iter().map(related).collect())
    }
}
