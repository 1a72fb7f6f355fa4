//! The specification's conformance test kit and its examples, on the whole engine with a stand-in for the servers that they ask.

use std::collections::BTreeMap;

use plenum_workflow::{Run, TaskStatus};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflow/tests");

/// Answers as the petstore and httpbin do, as far as the scenarios ask. `at` is its own address.
fn answer(at: &str, request: &str) -> (u16, Json) {
    let line = request.lines().next().unwrap_or_default();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let pet = |id: i64| json!({"id": id, "name": format!("pet {id}"), "status": "available", "photoUrls": []});
    if path == "/v2/swagger.json" {
        let document = json!({"swagger": "2.0", "host": at, "basePath": "/v2", "schemes": ["https", "http"], "paths": {
            "/pet/findByStatus": {"get": {"operationId": "findPetsByStatus", "parameters": [{"name": "status", "in": "query", "required": true}]}},
            "/pet/{petId}": {"get": {"operationId": "getPetById", "parameters": [{"name": "petId", "in": "path", "required": true}]}}}});
        return (200, document);
    }
    if path == "/v2/pet/findByStatus?status=available" {
        return (200, json!([pet(1), pet(2)]));
    }
    if let Some(id) = path.strip_prefix("/v2/pet/").and_then(|i| i.parse().ok()) {
        return (200, pet(id));
    }
    if let Some(credentials) = path.strip_prefix("/basic-auth/") {
        use base64::Engine;
        let wanted = base64::engine::general_purpose::STANDARD.encode(credentials.replace('/', ":"));
        let good = request.lines().any(|l| l.eq_ignore_ascii_case(&format!("authorization: Basic {wanted}")));
        return if good { (200, json!({"authenticated": true})) } else { (401, json!({"authenticated": false})) };
    }
    (404, json!({"message": "there is no such thing"}))
}

async fn stand_in() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let own = at.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let own = own.clone();
            tokio::spawn(async move {
                let (mut request, mut buffer) = (String::new(), vec![0; 16_384]);
                while !request.contains("\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..n])),
                        _ => return,
                    }
                }
                let (status, body) = answer(&own, &request);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    at
}

fn at<'v>(v: &'v Json, path: &str) -> Option<&'v Json> {
    path.split('.').try_fold(v, |v, key| v.get(key))
}

/// What of the expectation does not hold.
fn differences(run: &Run, expect: &Json) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: String| {
        if !good {
            wrong.push(what);
        }
    };
    let ran: Vec<&str> = run.tasks.iter().filter(|t| t.status != TaskStatus::Skipped).map(|t| t.name.as_str()).collect();
    for (key, wanted) in expect.as_object().unwrap() {
        let list = || wanted.as_array().unwrap().iter();
        let map = || wanted.as_object().unwrap().iter();
        match key.as_str() {
            "status" => check(run.status.name() == wanted, format!("status {}: {:?}", run.status.name(), run.error)),
            "output" => check(&run.output == wanted, format!("output {}", run.output)),
            "properties" => {
                list().for_each(|p| check(at(&run.output, p.as_str().unwrap()).is_some(), format!("{p} is missing in {}", run.output)))
            }
            "values" => map().for_each(|(p, v)| check(at(&run.output, p) == Some(v), format!("{p} in {}", run.output))),
            "items" => map().for_each(|(p, n)| {
                check(
                    at(&run.output, p).and_then(Json::as_array).map(|a| json!(a.len())).as_ref() == Some(n),
                    format!("{p} in {}", run.output),
                );
            }),
            "error" => map()
                .for_each(|(p, v)| check(run.error.as_ref().and_then(|e| e.get(p)) == Some(v), format!("error.{p} in {:?}", run.error))),
            "first" => check(ran.first().map(|n| json!(n)).as_ref() == Some(wanted), format!("first of {ran:?}")),
            "last" => check(ran.last().map(|n| json!(n)).as_ref() == Some(wanted), format!("last of {ran:?}")),
            "after" => list().for_each(|pair| {
                let place = |n: &Json| ran.iter().position(|r| n == r);
                check(place(&pair[0]).is_some() && place(&pair[0]) < place(&pair[1]), format!("{pair} in {ran:?}"));
            }),
            other => panic!("{other} is not understood"),
        }
    }
    wrong
}

fn files(folder: &str) -> BTreeMap<String, String> {
    let read = |e: std::fs::DirEntry| (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap());
    std::fs::read_dir(format!("{DATA}/{folder}")).unwrap().map(|e| read(e.unwrap())).filter(|(n, _)| n.ends_with(".yaml")).collect()
}

async fn conformance(db: Db) {
    let world = World::new(db).await;
    let who = Principal::System("tests");
    let server = stand_in().await;
    let (mut passed, mut failed) = (0, Vec::new());
    for (file, text) in files("ctk") {
        let cases = plenum_workflow::yaml::read(&text).unwrap_or_else(|p| panic!("{file}: {}", p.message));
        for case in cases.as_array().unwrap() {
            let name = case["scenario"].as_str().unwrap();
            let source = case["workflow"].as_str().unwrap();
            let source = source
                .replace("https://petstore.swagger.io", &format!("http://{server}"))
                .replace("https://httpbin.org", &format!("http://{server}"));
            let id = format!("ctk-{}", passed + failed.len());
            let input = case.get("input").cloned().unwrap_or_else(|| json!({}));
            let ran = async {
                world.workflows.save_definition(&who, &id, &source, None).await?;
                let run = world.workflows.start(&who, &id, input, None).await?;
                world.workflows.wait(&who, &run.id).await
            };
            let wrong = match soon(ran).await {
                Ok(run) => differences(&run, &case["expect"]),
                Err(e) => vec![e.to_string()],
            };
            if wrong.is_empty() {
                passed += 1;
            } else {
                failed.push(format!("{file}, {name}: {}", wrong.join("; ")));
            }
        }
    }
    println!("CTK: {passed} of {} scenarios pass", passed + failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(passed, 21);
    world.end().await;
}

plenum_store::both_databases! {
    migrations: SETS;

    async fn the_conformance_test_kit_passes(db: Db) {
        conformance(db).await;
    }
}

/// What of the language is absent; an example that needs it is refused when saved, with that place named.
const ABSENT: &[(&str, &str)] = &[
    ("authentication-oauth2-secret", "use/secrets"),
    ("authentication-oauth2", "authentication"),
    ("authentication-oidc-secret", "use/secrets"),
    ("authentication-oidc", "authentication"),
    ("call-asyncapi-", "call"),
    ("call-custom-function-cataloged", "call"),
    ("call-grpc", "call"),
    ("call-mcp", "call"),
    ("mock-service-extension", "use/extensions"),
    ("run-container", "run/container"),
    ("run-container-", "run/container"),
    ("run-return-", "run/container"),
];

#[tokio::test]
async fn the_examples_of_the_specification_validate_or_say_what_is_absent() {
    let world = World::quick().await;
    let (mut good, mut all, mut wrong) = (0, 0, Vec::new());
    for (file, source) in files("examples") {
        let name = file.trim_end_matches(".yaml");
        let absent = ABSENT.iter().find(|(n, _)| *n == name || (n.ends_with('-') && name.starts_with(n))).map(|(_, at)| *at);
        all += 1;
        match (world.workflows.validate(&source).await, absent) {
            (Ok(_), None) => good += 1,
            (Ok(_), Some(_)) => wrong.push(format!("{name} validates: take it off the list")),
            (Err(p), Some(at)) if p.iter().any(|p| p.pointer.contains(at)) => {}
            (Err(p), _) => wrong.push(format!("{name}: {p:?}")),
        }
    }
    println!("examples: {good} of {all} validate");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((good, all), (43, 66));
    world.end().await;
}
