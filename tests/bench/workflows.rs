//! Workflows: what one run costs, and how many end in a second. Every step is written with its events and records before the next.

use std::time::{Duration, Instant};

use futures::future::join_all;
use plenum_tests::{Client, Host, HostOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::quantile;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: bench, name: bench, version: '1.0.0'}\ndo:\n";

async fn save(admin: &Client, name: &str, body: &str) {
    admin.post("/api/v1/workflows", json!({"name": name, "source": format!("{HEAD}{body}")})).await;
}

async fn start(admin: &Client, name: &str) -> String {
    admin.post(&format!("/api/v1/workflows/{name}/runs"), json!({"input": {}})).await["id"].as_str().unwrap().to_owned()
}

/// Until `count` runs of the workflow have ended well.
async fn ended(admin: &Client, name: &str, count: u64) {
    let path = format!("/api/v1/runs?workflow={name}&status=succeeded&limit=1");
    let end = Instant::now() + Duration::from_secs(300);
    while admin.get(&path).await["total"].as_u64().unwrap() < count {
        assert!(Instant::now() < end, "{name}: not all of {count} runs have ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn run(admin: &Client, id: &str) -> Value {
    let (status, run) = admin.send(Method::GET, &format!("/api/v1/runs/{id}"), None).await;
    assert!(status.is_success() && run["status"] == "succeeded", "{run:#}");
    run
}

/// From the start's transaction to the end's, in milliseconds.
async fn took(admin: &Client, id: &str) -> f64 {
    run(admin, id).await["duration_ms"].as_f64().unwrap()
}

fn steps(n: usize) -> String {
    (0..n).map(|i| format!("- s{i}: {{set: {{n: {i}}}}}\n")).collect()
}

/// On a host of its own.
pub async fn workflows() {
    let host = Host::start(HostOptions::default()).await;
    let admin = host.admin().await;

    save(&admin, "three", &steps(3)).await;
    let mut each = Vec::new();
    for n in 1..=100 {
        let id = start(&admin, "three").await;
        ended(&admin, "three", n).await;
        each.push(took(&admin, &id).await);
    }
    each.sort_by(f64::total_cmp);
    println!("run of 3 steps, one after another   {:>8.1} ms   p99 {:.1} ms (goal 3)", quantile(&each, 0.5), quantile(&each, 0.99));

    save(&admin, "crowd", &steps(3)).await;
    let began = Instant::now();
    let starts = (0..200).map(|_| start(&admin, "crowd"));
    join_all(starts).await;
    ended(&admin, "crowd", 200).await;
    println!("200 of them at once                 {:>8.0} runs/s, HTTP included (goal 3000)", 200.0 / began.elapsed().as_secs_f64());

    save(&admin, "thousand", &steps(1000)).await;
    let id = start(&admin, "thousand").await;
    ended(&admin, "thousand", 1).await;
    println!("one run of 1,000 tasks              {:>8.0} ms   (goal 500)", took(&admin, &id).await);

    save(&admin, "seventeen", &steps(17)).await;
    let began = Instant::now();
    join_all((0..100).map(|_| start(&admin, "seventeen"))).await;
    ended(&admin, "seventeen", 100).await;
    println!("100 runs of 17 tasks                {:>8.0} ms   (goal 500)", began.elapsed().as_secs_f64() * 1000.0);

    let mut times = Vec::new();
    for n in [1_000, 10_000] {
        let name = format!("loop-{n}");
        save(&admin, &name, &format!("- l: {{for: {{in: '[range({n})]'}}, do: [{{x: {{set: {{n: '${{ $index }}'}}}}}}]}}\n")).await;
        let id = start(&admin, &name).await;
        ended(&admin, &name, 1).await;
        times.push(took(&admin, &id).await);
    }
    println!(
        "10,000 iterations of a for          {:>8.0} ms   (goal 2000; {:.1} times 1,000 of them)",
        times[1],
        times[1] / times[0].max(1.0)
    );
}
