//! HTTP into plugins: components that know nothing of this platform.

use bytes::Bytes;
use http_body_util::BodyExt;

use super::*;

async fn web(w: &World) {
    w.offer(
        PackageWriter::new(manifest("[component]\npath = \"plugin.wasm\"\n"))
            .component(guests::component("web", guests::WEB))
            .finish()
            .unwrap(),
    );
    w.plugins.install(&admin(), "demo", None, &[]).await.unwrap();
}

fn request(method: &str, path: &str) -> ::http::Request<Bytes> {
    ::http::Request::builder().method(method).uri(path).header("cookie", "plenum_session=x").body(Bytes::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_built_for_wasi_http_answers_unchanged() {
    let w = World::quick().await;
    web(&w).await;
    let answer = soon(w.plugins.handle_http(&user(Role::Viewer), "demo", request("GET", "/a/b?c=d"))).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers().get("x-mine").unwrap(), "yes");
    // A plugin speaks with its page, not with the browser's cookies.
    assert!(answer.headers().get("set-cookie").is_none());
    let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(body, "/a/b?c=d");
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_before_the_answer_is_an_error_with_the_call() {
    let w = World::quick().await;
    web(&w).await;
    let e = soon(w.plugins.handle_http(&admin(), "demo", request("GET", "/trap"))).await.err().unwrap();
    let RuntimeError::Trap { call, .. } = &e else { panic!("{e}") };
    assert!(w.log().await.iter().any(|l| l.call == *call));
    assert!(soon(w.plugins.handle_http(&admin(), "demo", request("GET", "/ok"))).await.is_ok());
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_read_and_operators_change() {
    let w = World::quick().await;
    web(&w).await;
    let viewer = user(Role::Viewer);
    assert_eq!(w.plugins.handle_http(&viewer, "demo", request("POST", "/x")).await.err().unwrap().status(), 403);
    assert!(w.plugins.handle_http(&viewer, "demo", request("HEAD", "/x")).await.is_ok());
    assert!(w.plugins.handle_http(&user(Role::Operator), "demo", request("POST", "/x")).await.is_ok());
    assert_eq!(w.plugins.handle_http(&admin(), "nobody", request("GET", "/")).await.err().unwrap().status(), 404);
    w.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_requests_at_once_are_answered_or_told_to_come_again() {
    let w = World::quick().await;
    web(&w).await;
    let all = (0..400).map(|i| {
        let plugins = w.plugins.clone();
        tokio::spawn(async move {
            match plugins.handle_http(&admin(), "demo", request("GET", &format!("/{i}"))).await {
                Ok(answer) => {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body, format!("/{i}"));
                    true
                }
                Err(e) => {
                    assert_eq!(e.code(), "plugin.busy");
                    false
                }
            }
        })
    });
    let answered = soon(futures::future::join_all(all)).await.into_iter().filter(|r| *r.as_ref().unwrap()).count();
    assert!(answered >= 256, "{answered}");
    w.end().await;
}
