//! What the service says of itself, and that it is true.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use senet::config::HttpConfig;
use senet::http::{Phase, admin_router};
use serde_json::{Value, json};

use crate::support::{Answer, App, FakeEngine, answer, form, png};

async fn openapi(app: &App) -> Value {
    app.get("/openapi.json").await.json()
}

#[tokio::test]
async fn the_openapi_document_names_this_build() {
    let document = openapi(&App::new(FakeEngine::fast())).await;
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!(env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn every_documented_path_exists_with_its_methods() {
    let app = App::with(FakeEngine::fast(), 2, HttpConfig { model_control: true, ..HttpConfig::default() });
    let document = openapi(&app).await;
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, facts) in methods.as_object().unwrap() {
            let path = path.replace("{name}", if path.starts_with("/problems") { "overloaded" } else { "fake" });
            let method = method.to_uppercase();
            let request = Request::builder().method(method.as_str()).uri(&path).body(Body::empty()).unwrap();
            let for_operators = facts["tags"] == json!(["Control"]);
            let router = if for_operators { admin_router(&app.state) } else { app.router.clone() };
            let answer = answer(router, request).await;
            assert!(![404, 405].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
            checked += 1;
        }
    }
    assert_eq!(checked, 13, "the routes of the router but /, which redirects");
}

/// The page at `/docs` follows every one of them, and shows nothing at all where one leads nowhere.
#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let document = openapi(&App::new(FakeEngine::fast())).await;
    let text = document.to_string();
    let targets: BTreeSet<_> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(targets.len() > 20, "{targets:?}");
    for target in targets {
        assert!(document.pointer(target).is_some(), "{target} leads nowhere");
    }
}

#[tokio::test]
async fn every_problem_has_a_page_and_its_status_in_the_document() {
    let app = App::new(FakeEngine::fast());
    let page = app.get("/problems").await;
    let names: BTreeSet<_> = page.text().split("href=\"/problems/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names.len(), 21, "{names:?}");
    let document = openapi(&app).await["components"]["responses"].to_string();
    for name in names {
        let page = app.get(&format!("/problems/{name}")).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(document.contains(&format!("`{name}`")), "{name} is in no documented response");
    }
    app.get("/problems/none").await.problem(404, "not-found");
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let app = App::new(FakeEngine::fast());
    let document = openapi(&app).await;
    let (content_type, body) = form(&[("a", Some("a.png"), &png()), ("b", Some("b.txt"), b"no picture")]);
    for (answer, schema) in [
        (app.post("?attention=none", "image/png", png()).await, "Classification"),
        (app.post("?attention=summary", "image/png", png()).await, "Classification"),
        (app.post("?attention=full", "image/png", png()).await, "Classification"),
        (app.post("", &content_type, body).await, "Results"),
        (app.post("?top_k=0", "image/png", png()).await, "Problem"),
        (app.post("?top_k=9", "image/png", png()).await, "Problem"),
        (app.get("/v1/models").await, "Models"),
        (app.get("/v1/models/fake").await, "Model"),
        (app.get("/health").await, "Health"),
    ] {
        conforms(&document, &json!({"$ref": format!("#/components/schemas/{schema}")}), &answer.json(), schema).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[tokio::test]
async fn the_check_of_answers_against_the_document_sees_what_is_wrong() {
    let document = json!({});
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 1}}});
    for wrong in [json!({}), json!({"a": 0}), json!({"a": "1"}), json!({"a": 1, "b": 2}), json!([])] {
        assert!(conforms(&document, &schema, &wrong, "").is_err(), "{wrong}");
    }
    assert!(conforms(&document, &schema, &json!({"a": 1}), "").is_ok());
}

/// Whether `value` is what `schema` says, as far as the document uses JSON Schema; a member that is not described is an error too.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(target) = schema["$ref"].as_str() {
        return conforms(document, document.pointer(&target[1..]).ok_or_else(|| format!("{target} leads nowhere"))?, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let errors: Vec<_> = choices.iter().filter_map(|choice| conforms(document, choice, value, at).err()).collect();
        return if errors.len() + 1 == choices.len() { Ok(()) } else { Err(format!("{at}: not exactly one of {errors:?}")) };
    }
    let right_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        other => return Err(format!("{at}: the schema has the type {other:?}")),
    };
    let listed = schema["enum"].as_array().is_none_or(|values| values.contains(value));
    let number = value.as_f64();
    let in_range =
        schema["minimum"].as_f64().is_none_or(|least| number >= Some(least)) && schema["maximum"].as_f64().is_none_or(|most| number <= Some(most));
    if !right_type || !listed || !in_range {
        return Err(format!("{at}: {value} does not match {schema}"));
    }
    if let Some(missing) = schema["required"].as_array().into_iter().flatten().find(|name| value.get(name.as_str().unwrap_or_default()).is_none()) {
        return Err(format!("{at}: no {missing}"));
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let described = schema["properties"].get(name).ok_or_else(|| format!("{at}: {name} is not described"))?;
        conforms(document, described, member, &format!("{at}.{name}"))?;
    }
    value.as_array().into_iter().flatten().try_for_each(|element| conforms(document, &schema["items"], element, at))
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let page = App::new(FakeEngine::fast()).get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy: Vec<_> = page.header("content-security-policy").unwrap().split("; ").collect();
    for needed in ["default-src 'none'", "connect-src 'self'", "script-src 'unsafe-inline'", "style-src 'unsafe-inline'"] {
        assert!(policy.contains(&needed), "no {needed} in {policy:?}");
    }
    assert!(page.text().contains("fetch(\"/openapi.json\")") && page.text().contains("fetch(\"/v1/classify?\""), "what the page is made of");
    for elsewhere in ["http://", "https://", "\"//"] {
        assert!(!page.text().contains(elsewhere), "the page names another host behind {elsewhere}");
    }
}

#[tokio::test]
async fn what_operators_alone_are_served_is_marked() {
    let anywhere = App::new(FakeEngine::fast());
    let admin_addr = Some(([127, 0, 0, 1], 0).into());
    let with_operators = App::with(FakeEngine::fast(), 1, HttpConfig { admin_addr, model_control: true, ..HttpConfig::default() });
    for (path, methods) in openapi(&anywhere).await["paths"].as_object().unwrap() {
        for (method, facts) in methods.as_object().unwrap() {
            let path = path.replace("{name}", if path.starts_with("/problems") { "overloaded" } else { "fake" });
            let request = || Request::builder().method(method.to_uppercase().as_str()).uri(&path).body(Body::empty()).unwrap();
            let always_here = with_operators.send(request()).await.status != 404;
            let marked = facts["x-operators-only"].as_str();
            assert_eq!(marked.is_none(), always_here, "{path} is marked {marked:?}");
            let here_without = anywhere.send(request()).await.status != 404;
            assert_eq!(marked != Some("with --model-control"), here_without, "{path}");
        }
    }
}

/// Generated clients send defaults, and a request that says the same twice must not say two things.
#[tokio::test]
async fn the_document_has_no_defaults_and_no_empty_lists_of_images() {
    let document = openapi(&App::new(FakeEngine::fast())).await;
    for (name, parameter) in document["components"]["parameters"].as_object().unwrap() {
        assert!(parameter["schema"].get("default").is_none(), "{name}");
    }
    for (schema, list) in [("Form", "image"), ("JsonRequest", "images")] {
        assert_eq!(document["components"]["schemas"][schema]["properties"][list]["minItems"], 1);
    }
}

#[tokio::test]
async fn the_root_leads_to_the_page() {
    let answer = App::new(FakeEngine::fast()).get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, Some("/docs")));
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body() {
    let app = App::new(FakeEngine::fast());
    for path in ["/livez", "/v1/models", "/docs", "/metrics"] {
        let answer: Answer = app.send(Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
    }
    let answer = app.send(Request::head("/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
}

#[tokio::test]
async fn says_how_it_is_doing() {
    let app = App::with(FakeEngine::fast(), 3, HttpConfig::default());
    insta::assert_json_snapshot!(app.get("/health").await.stable_json());
}

#[tokio::test]
async fn probes_and_work_are_answered_as_the_phase_wants() {
    let app = App::starting(FakeEngine::fast(), 1, HttpConfig::default());
    for (phase, said, ready, work) in [
        // A model that is ready answers while others are still being loaded.
        (Phase::Starting, "starting", 503, 200),
        (Phase::Ready, "ready", 200, 200),
        (Phase::Draining, "draining", 503, 200),
        (Phase::Stopping, "draining", 503, 200),
    ] {
        app.state.advance(phase);
        let health = app.get("/health").await;
        assert_eq!((&health.json()["status"], health.status.as_u16()), (&json!(said), ready), "{phase:?}");
        assert_eq!(app.get("/livez").await.status, 200, "{phase:?}");
        assert_eq!(app.get("/readyz").await.status, ready, "{phase:?}");
        assert_eq!(app.post("", "image/png", png()).await.status, work, "{phase:?}");
    }
    app.state.advance(Phase::Ready);
    app.get("/readyz").await.problem(503, "draining");
}

#[tokio::test]
async fn a_problem_looks_like_this() {
    insta::assert_json_snapshot!(App::new(FakeEngine::fast()).post("?top_k=9", "image/png", png()).await.stable_json());
}
