//! Models that are loaded, replaced, broken, unloaded and gone while the service answers.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request};
use senet::config::{AdmissionConfig, HttpConfig};
use senet::http::{AppState, Phase, admin_router, router};
use senet::image::Limits;
use senet::kernels::Simd;
use senet::model::Lifecycle;
use serde_json::{Value, json};

use crate::support::{Answer, App, FakeEngine, Shelf, answer, broken, form, model, named, png, post};

/// For what happens at once unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service around `shelf` that has not started, and what starts it.
fn service(shelf: &Shelf, required: &[&str]) -> (App, Arc<Lifecycle>) {
    let admission = AdmissionConfig { workers: NonZeroUsize::new(2).unwrap(), queue: 200 };
    let http = HttpConfig { model_control: true, ..HttpConfig::default() };
    let models = Lifecycle::new(shelf.clone(), required.iter().map(|name| (*name).to_owned()).collect());
    let state = Arc::new(AppState::new(http, admission, Limits::default(), Simd::detect(), models).unwrap());
    let models = Arc::clone(state.models());
    (App { router: router(&state), state }, models)
}

/// The same, started and ready.
fn started(shelf: &Shelf, required: &[&str]) -> (App, Arc<Lifecycle>) {
    let (app, models) = service(shelf, required);
    models.start().unwrap();
    app.state.advance(Phase::Ready);
    (app, models)
}

async fn control(app: &App, path: &str) -> Answer {
    answer(admin_router(&app.state), Request::builder().method(Method::POST).uri(path).body(Body::empty()).unwrap()).await
}

async fn version(app: &App) -> Value {
    app.post("", "image/png", png()).await.json()["model"]["version"].clone()
}

async fn listed(app: &App) -> Vec<Value> {
    app.get("/v1/models").await.json()["models"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_loaded_side_by_side_and_readyz_names_those_that_are_not() {
    let shelf = Shelf::default();
    let begun = Arc::new(AtomicUsize::new(0));
    let (release, released) = mpsc::channel::<()>();
    for name in ["a", "b"] {
        let begun = Arc::clone(&begun);
        shelf.put(name, move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            while begun.load(Ordering::SeqCst) < 2 {
                assert!(start.elapsed() < PATIENCE, "{name} is loaded alone");
                thread::yield_now();
            }
            Ok(named(name, FakeEngine::fast(), 1))
        });
    }
    shelf.put("c", move |_| released.recv().map(|()| named("c", FakeEngine::fast(), 1)).map_err(|_| broken("")));
    let (app, models) = service(&shelf, &[]);
    let starting = thread::spawn(move || models.start().map_err(|error| error.to_string()));
    let detail = loop {
        let detail = app.get("/readyz").await.problem(503, "not-ready");
        if detail.starts_with("1 of 3") {
            break detail;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(detail, "1 of 3 models are still being loaded: c");
    release.send(()).unwrap();
    starting.join().unwrap().unwrap();
    app.state.advance(Phase::Ready);
    assert_eq!(app.get("/readyz").await.status, 200);
    let names: Vec<_> = listed(&app).await.iter().map(|model| model["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"], "in the order of the source, whichever was ready first");
}

#[tokio::test]
async fn a_broken_model_does_not_take_the_others_down() {
    let shelf = Shelf::default();
    shelf.put("bad", |_| Err(broken("no model.onnx")));
    shelf.put("worse", |_| panic!("out of bounds"));
    shelf.put("good", |_| Ok(named("good", FakeEngine::fast(), 1)));
    let (app, _) = started(&shelf, &["good"]);
    assert_eq!(app.get("/readyz").await.status, 200);
    assert_eq!(app.post("?model=good", "image/png", png()).await.status, 200);
    let detail = app.post("?model=bad", "image/png", png()).await.problem(503, "not-ready");
    assert_eq!(detail, "the model \"bad\" does not answer now: it could not be loaded");
    let [bad, worse, good] = &listed(&app).await[..] else { panic!() };
    assert_eq!(*bad, json!({"name": "bad", "ready": false, "default": true, "state": "failed", "error": "shelf: no model.onnx"}));
    assert_eq!(worse["error"], "shelf/worse: loading it panicked: out of bounds");
    assert_eq!((&good["state"], &good["ready"], good.get("error")), (&json!("ready"), &json!(true), None));
    let metrics = app.get("/metrics").await;
    for line in [
        "senet_model_ready{model=\"bad\",version=\"\"} 0",
        "senet_model_ready{model=\"good\",version=\"1\"} 1",
        "senet_model_load_failed{model=\"bad\"} 1",
        "senet_model_load_failed{model=\"good\"} 0",
    ] {
        assert!(metrics.text().contains(line), "no {line} in {}", metrics.text());
    }
}

#[test]
fn the_service_does_not_start_without_what_is_required_or_without_anything() {
    let shelf = Shelf::default();
    shelf.put("bad", |_| Err(broken("no model.onnx")));
    shelf.put("good", |_| Ok(named("good", FakeEngine::fast(), 1)));
    let start = |required: &[&str]| service(&shelf, required).1.start().map_err(|error| error.to_string());
    assert_eq!(start(&["good"]), Ok(()));
    assert_eq!(start(&["good", "bad"]), Err("shelf: no model.onnx".to_owned()));
    let message = start(&["gold"]).unwrap_err();
    assert!(message.contains(r#"no model "gold""#) && message.contains("(bad, good)"), "{message}");
    shelf.remove("good");
    assert_eq!(start(&[]), Err("shelf: no model.onnx".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_32_clients_loses_no_request_and_mixes_no_versions() {
    let shelf = Shelf::default();
    let slow = || {
        FakeEngine::that(|| {
            thread::sleep(Duration::from_micros(200));
            Ok(())
        })
    };
    let versions = AtomicUsize::new(0);
    shelf.put("fake", move |_| Ok(model(slow(), versions.fetch_add(1, Ordering::SeqCst) as u64 + 1)));
    let (app, models) = started(&shelf, &[]);
    let first = Arc::downgrade(&app.state.registry().get(None).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let (content_type, body) = form(&[("a", Some("a.png"), &png()), ("b", Some("b.png"), &png())]);
    let clients: Vec<_> = (0..32)
        .map(|number| {
            let (router, done, content_type, body) = (app.router.clone(), Arc::clone(&done), content_type.clone(), body.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let request = if number % 2 == 0 { post("", "image/png", png()) } else { post("", &content_type, body.clone()) };
                    let reply = answer(router.clone(), request).await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    let json = reply.json();
                    let results = json["results"].as_array().cloned().unwrap_or_else(|| vec![json]);
                    let versions: Vec<String> = results.iter().map(|result| result["model"]["version"].as_str().unwrap().to_owned()).collect();
                    assert!(versions.iter().all(|version| *version == versions[0]), "one request, several versions: {versions:?}");
                    for result in &results {
                        let label = if versions[0] == "1" { "ship".to_owned() } else { format!("ship{}", versions[0]) };
                        assert_eq!(result["predictions"][0]["label"], label);
                    }
                    seen.push(versions[0].parse::<u64>().unwrap());
                }
                seen
            })
        })
        .collect();
    for reload in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if reload % 2 == 0 {
            assert_eq!(control(&app, "/v1/models/fake/load").await.status, 200);
        } else {
            let models = Arc::clone(&models);
            let versions = AtomicUsize::new(reload + 1);
            shelf.put("fake", move |_| Ok(model(slow(), versions.fetch_add(1, Ordering::SeqCst) as u64 + 1)));
            tokio::task::spawn_blocking(move || models.refresh()).await.unwrap();
        }
    }
    done.store(true, Ordering::SeqCst);
    let mut versions = BTreeSet::new();
    for client in clients {
        let seen = client.await.unwrap();
        assert!(seen.is_sorted(), "an older version answered after a newer one: {seen:?}");
        versions.extend(seen);
    }
    assert!(versions.len() > 5, "hardly a reload was seen: {versions:?}");
    assert_eq!(version(&app).await, "11");
    assert!(first.upgrade().is_none(), "the first version is still in memory");
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_serving_and_says_so() {
    let shelf = Shelf::default();
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 1)));
    let (app, models) = started(&shelf, &["fake"]);
    shelf.put("fake", |_| Err(broken("its sha256 is wrong")));
    models.refresh();
    assert_eq!(version(&app).await, "1");
    assert_eq!(app.get("/readyz").await.status, 200);
    let model = &listed(&app).await[0];
    assert_eq!((&model["version"], &model["ready"], &model["state"]), (&json!("1"), &json!(true), &json!("failed")));
    assert_eq!(model["error"], "shelf: its sha256 is wrong");
    let metrics = app.get("/metrics").await;
    for line in ["senet_model_ready{model=\"fake\",version=\"1\"} 1", "senet_model_load_failed{model=\"fake\"} 1"] {
        assert!(metrics.text().contains(line), "no {line} in {}", metrics.text());
    }
    let detail = control(&app, "/v1/models/fake/load").await.problem(422, "load-failed");
    assert_eq!(detail, "shelf: its sha256 is wrong");
}

#[tokio::test]
async fn a_watched_change_is_loaded_once_it_has_settled_and_a_failure_is_not_tried_again() {
    let shelf = Shelf::default();
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 1)));
    let (app, models) = started(&shelf, &[]);
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 2)));
    models.watch();
    assert_eq!(version(&app).await, "1", "somebody may still be writing");
    models.watch();
    assert_eq!(version(&app).await, "2");
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    shelf.put("fake", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(broken("no model.onnx"))
    });
    (0..5).for_each(|_| models.watch());
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    models.refresh();
    assert_eq!(tries.load(Ordering::SeqCst), 2, "a signal tries again what has failed");
    assert_eq!(version(&app).await, "2");
}

#[tokio::test]
async fn new_models_are_served_and_those_that_are_gone_are_not() {
    let shelf = Shelf::default();
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 1)));
    let (app, models) = started(&shelf, &[]);
    shelf.put("other", |_| Ok(named("other", FakeEngine::fast(), 1)));
    models.refresh();
    assert_eq!(app.post("?model=other", "image/png", png()).await.status, 200);
    shelf.remove("fake");
    models.refresh();
    app.post("?model=fake", "image/png", png()).await.problem(404, "unknown-model");
    assert_eq!(listed(&app).await.len(), 1);
    assert!(!app.get("/metrics").await.text().contains("model=\"fake\""));
}

#[tokio::test]
async fn operators_unload_a_model_load_it_again_and_choose_its_version() {
    let shelf = Shelf::default();
    shelf.put("fake", |wanted| match wanted {
        Some(9) => Err(broken("it has no version 9")),
        wanted => Ok(model(FakeEngine::fast(), wanted.unwrap_or(3))),
    });
    let (app, models) = started(&shelf, &["fake"]);
    assert_eq!(version(&app).await, "3");
    let answer = control(&app, "/v1/models/fake/load?version=2").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["version"]), (200, &json!("2")));
    models.refresh();
    assert_eq!(version(&app).await, "2", "it keeps to the version that was asked for");
    control(&app, "/v1/models/fake/load?version=9").await.problem(422, "load-failed");
    assert_eq!(version(&app).await, "2");

    assert_eq!(control(&app, "/v1/models/fake/unload").await.json()["state"], "unloaded");
    app.post("", "image/png", png()).await.problem(503, "not-ready");
    assert_eq!(app.get("/readyz").await.problem(503, "not-ready"), "required and not ready: fake");
    models.refresh();
    app.post("", "image/png", png()).await.problem(503, "not-ready");
    assert_eq!(control(&app, "/v1/models/fake/load").await.json()["version"], "3");
    assert_eq!(app.get("/readyz").await.status, 200);

    control(&app, "/v1/models/none/load").await.problem(404, "unknown-model");
    control(&app, "/v1/models/none/unload").await.problem(404, "unknown-model");
    control(&app, "/v1/models/fake/load?version=two").await.problem(400, "invalid-parameter");
    control(&app, "/v1/models/fake/load?versoin=2").await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn without_its_only_model_a_service_is_not_ready_and_says_so() {
    let shelf = Shelf::default();
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 1)));
    let (app, _) = started(&shelf, &[]);
    assert_eq!(app.get("/readyz").await.text(), "ready\n");
    assert_eq!(control(&app, "/v1/models/fake/unload").await.status, 200);
    assert_eq!(app.get("/readyz").await.problem(503, "not-ready"), "no model is served");
    let health = app.get("/health").await;
    assert_eq!((health.status.as_u16(), &health.json()["status"]), (503, &json!("not_ready")));
    assert_eq!(control(&app, "/v1/models/fake/load").await.status, 200);
    assert_eq!(app.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_answers_while_another_model_is_loaded_and_a_service_is_ready_as_it_requires() {
    for required in [&[][..], &["good"], &["late"]] {
        let shelf = Shelf::default();
        let (release, released) = mpsc::channel::<()>();
        shelf.put("good", |_| Ok(named("good", FakeEngine::fast(), 1)));
        shelf.put("late", move |_| released.recv().map(|()| named("late", FakeEngine::fast(), 1)).map_err(|_| broken("")));
        let (app, models) = service(&shelf, required);
        let starting = thread::spawn(move || models.start().map_err(|error| error.to_string()));
        let start = Instant::now();
        while app.post("?model=good", "image/png", png()).await.status != 200 {
            assert!(start.elapsed() < PATIENCE, "{}", app.post("?model=good", "image/png", png()).await.text());
            tokio::task::yield_now().await;
        }
        app.post("?model=late", "image/png", png()).await.problem(503, "not-ready");
        let ready = app.get("/readyz").await;
        let pending = "1 of 2 models are still being loaded: late";
        match required {
            ["good"] => assert_eq!((ready.status.as_u16(), ready.text()), (200, &*format!("ready; {pending}\n"))),
            ["late"] => assert_eq!(ready.problem(503, "not-ready"), "required and not ready: late"),
            _ => assert_eq!(ready.problem(503, "not-ready"), pending),
        }
        let health = app.get("/health").await.json();
        assert_eq!((&health["status"], &health["pending"]), (&json!(if required == ["good"] { "ready" } else { "starting" }), &json!(pending)));
        assert_eq!(listed(&app).await[0]["ready"], true);
        release.send(()).unwrap();
        starting.join().unwrap().unwrap();
    }
}

#[tokio::test]
async fn models_are_controlled_at_the_operators_address_alone_and_only_where_that_is_configured() {
    let shelf = Shelf::default();
    shelf.put("fake", |_| Ok(model(FakeEngine::fast(), 1)));
    let (app, _) = started(&shelf, &[]);
    let request = || Request::post("/v1/models/fake/unload").body(Body::empty()).unwrap();
    app.send(request()).await.problem(404, "not-found");
    let plain = App::new(FakeEngine::fast());
    answer(admin_router(&plain.state), request()).await.problem(404, "not-found");
}
