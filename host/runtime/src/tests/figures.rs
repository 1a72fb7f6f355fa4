//! Figures of single calls, for `make bench`: a release build prints them, nothing is asserted of them.

use std::time::Instant;

use serde_json::json;

use super::{World, admin, demo, soon};
use crate::call::store;

fn figures(what: &str, mut took: Vec<f64>) {
    took.sort_by(f64::total_cmp);
    let at = |q: f64| took.get(((took.len() as f64 * q) as usize).min(took.len().saturating_sub(1))).copied().unwrap_or_default();
    println!("{what:<36}{:>8.1} µs   p90 {:.1}, p99 {:.1}", at(0.5), at(0.9), at(0.99));
}

/// A fresh instance for each small call with JSON in and out, thrown away after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures of a release build: make bench"]
async fn one_small_call() {
    let w = World::quick().await;
    w.offer(demo(""));
    w.plugins.install(&admin(), "demo", None, &super::granted(&["events.read", "store"])).await.unwrap();
    let (plugin, input) = (w.plugins.loaded("demo").unwrap(), json!({"text": "a"}));
    let services = w.plugins.services().clone();
    const CALLS: usize = 20_000;
    for round in 0..2 {
        let (mut bare, mut inside, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let begun = Instant::now();
            let mut s = store(&plugin, &services, plugin.info("figures".into(), None, None));
            plugin.code.as_ref().unwrap().pre.instantiate_async(&mut s).await.unwrap();
            drop(s);
            bare.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        for _ in 0..CALLS {
            let begun = Instant::now();
            plugin.action(&services, plugin.life.own_visit(), "echo", &input, None, None, 0).await.unwrap();
            inside.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        for _ in 0..CALLS {
            let begun = Instant::now();
            w.plugins.call_action(&admin(), "demo", "echo", &input, None).await.unwrap();
            whole.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        // The first round warms the pool.
        if round == 1 {
            figures("store and instance, made and dropped", bare);
            figures("with a call, its schemas and limits", inside);
            figures("with permission and audit of a person", whole);
        }
    }
    soon(w.end()).await;
}
