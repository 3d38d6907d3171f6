//! What a request that succeeds is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{App, FakeEngine, form, jpeg, png};

#[tokio::test]
async fn answers_a_raw_image_with_one_classification() {
    let answer = App::new(FakeEngine::fast()).post("", "image/png", png()).await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.stable_json());
}

#[tokio::test]
async fn answers_full_attention_of_the_blocks_asked_for() {
    let answer = App::new(FakeEngine::fast()).post("?attention=full&attention_top=2&blocks=layer1.*&top_k=1", "image/png", png()).await;
    insta::assert_json_snapshot!(answer.stable_json());
}

#[tokio::test]
async fn leaves_attention_out_when_none_is_wanted() {
    let answer = App::new(FakeEngine::fast()).post("?attention=none", "image/png", png()).await.json();
    assert!(answer.get("attention").is_none(), "{answer}");
}

#[tokio::test]
async fn the_members_come_in_the_documented_order() {
    let answer = App::new(FakeEngine::fast()).post("", "image/png", png()).await;
    let places: Vec<_> =
        ["{\"id\":", "\"model\":", "\"image\":", "\"output_activation\":", "\"predictions\":", "\"attention\":", "\"preprocessing\":", "\"timing\":"]
            .iter()
            .map(|member| answer.text().find(member).unwrap_or_else(|| panic!("no {member}")))
            .collect();
    assert!(places.is_sorted() && places[0] == 0, "{places:?}");
}

#[tokio::test]
async fn floats_read_back_as_the_same_f32() {
    let answer = App::new(FakeEngine::fast()).post("?attention=full", "image/png", png()).await;
    assert!(answer.text().contains("\"weights\":[0.1,0.9,0.3,1.0]"), "{}", answer.text());
    let probability: f32 = answer.json()["predictions"][0]["probability"].to_string().parse().unwrap();
    let expected = senet::inference::probabilities(&[1.5, -0.25, 3.1, 0.1], senet::inference::OutputActivation::Softmax)[2];
    assert_eq!(probability.to_bits(), expected.to_bits());
}

#[tokio::test]
async fn the_format_is_told_by_the_bytes_whatever_the_header_says() {
    let app = App::new(FakeEngine::fast());
    for content_type in ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"] {
        let answer = app.post("", content_type, jpeg()).await;
        assert_eq!(answer.json()["image"]["format"], "jpeg", "{content_type}");
    }
}

#[tokio::test]
async fn answers_the_files_of_a_form_in_order_and_the_broken_one_by_its_problem() {
    let (content_type, body) =
        form(&[("a", Some("a.png"), &png()), ("top_k", None, b"1"), ("b", Some("b.txt"), b"no picture"), ("c", Some("c.jpg"), &jpeg())]);
    let answer = App::new(FakeEngine::fast()).post("?attention=none", &content_type, body).await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!(answer.stable_json());
}

#[tokio::test]
async fn answers_the_images_of_a_json_body_with_its_keys_as_options() {
    let app = App::new(FakeEngine::fast());
    let body = json!({"images": [STANDARD.encode(png()), STANDARD.encode(&png()[..40])], "top_k": 2, "attention": "none", "model": "fake"});
    let answer = app.post("", "application/json; charset=utf-8", body.to_string()).await.json();
    assert_eq!(answer["results"][0]["predictions"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["results"][1]["type"], "/problems/undecodable-image");
    assert_eq!(answer["results"][0]["id"], answer["results"][1]["instance"]);
}

#[tokio::test]
async fn takes_over_a_sensible_request_id_and_replaces_any_other() {
    let app = App::new(FakeEngine::fast());
    let parameters = app.get("/openapi.json").await.json()["paths"]["/v1/classify"]["post"]["parameters"].clone();
    let header = parameters.as_array().unwrap().iter().find(|parameter| parameter["name"] == "X-Request-Id").unwrap();
    assert_eq!(header["schema"]["maxLength"], 128, "what the document says");
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for (sent, kept) in [("abc-123", true), (longest.as_str(), true), ("has space", false), ("", false), (too_long.as_str(), false)] {
        let mut request = crate::support::post("", "image/png", png());
        request.headers_mut().insert("x-request-id", sent.parse().unwrap());
        let answer = app.send(request).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(answer.json()["id"], id);
        assert_eq!(id == sent, kept, "{sent:?} became {id:?}");
        assert!(kept || id.len() == 26, "{id} is no ULID");
    }
}

#[tokio::test]
async fn says_how_long_each_stage_took() {
    let answer = App::new(FakeEngine::fast()).post("", "image/png", png()).await;
    let header = answer.header("server-timing").unwrap();
    let stages: Vec<_> = header.split(", ").map(|entry| entry.split(";dur=").next().unwrap()).collect();
    assert_eq!(stages, ["queue", "decode", "preprocess", "inference", "postprocess", "total"]);
    let timing = answer.json()["timing"].clone();
    let parts: f64 = ["queue_ms", "decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms"].iter().map(|s| timing[s].as_f64().unwrap()).sum();
    assert!((parts - timing["total_ms"].as_f64().unwrap()).abs() < 0.01, "{timing}");
}

#[tokio::test]
async fn an_answer_that_holds_no_number_is_a_problem_that_is_counted() {
    let gates = || [vec![0.1, 0.9, 0.3, 1.0], vec![0.015, 0.7]];
    let broken_gates = [vec![0.1, 0.9, f32::NAN, 1.0], vec![0.015, 0.7]];
    for (engine, value) in [
        (FakeEngine::answering([1.5, f32::NAN, 3.1, 0.1], gates()), "NaN for class 1 of output \"logits\""),
        (FakeEngine::answering([1.5, 0.5, f32::INFINITY, 0.1], gates()), "inf for class 2 of output \"logits\""),
        (FakeEngine::answering([1.5, 0.5, 3.1, 0.1], broken_gates), "NaN for the gate of channel 2 of SE block \"layer1.0.se\""),
    ] {
        let app = App::new(engine);
        let answer = app.post("", "image/png", png()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (500, &json!("/problems/not-finite")));
        let expected = format!("model fake: the network yields {value}, expected a finite number");
        assert_eq!(answer.json()["detail"], json!(expected));
        let (content_type, body) = form(&[("a", Some("a.png"), &png()), ("b", Some("b.txt"), b"no picture")]);
        let results = app.post("", &content_type, body).await.json();
        assert_eq!(results["results"][0]["type"], "/problems/not-finite", "{results}");
        let metrics = app.get("/metrics").await;
        assert!(metrics.text().contains("senet_not_finite_total{model=\"fake\"} 2\n"), "{}", metrics.text());
    }
}

#[tokio::test]
async fn a_masked_class_has_no_probability_and_no_null() {
    let gates = [vec![0.1, 0.9, 0.3, 1.0], vec![0.015, 0.7]];
    let answer = App::new(FakeEngine::answering([1.5, f32::NEG_INFINITY, 3.1, 0.1], gates)).post("?top_k=4", "image/png", png()).await;
    let last = &answer.json()["predictions"][3];
    assert_eq!((last["index"].as_u64(), last["probability"].as_f64()), (Some(1), Some(0.0)), "{last}");
    assert_eq!(last["logit"].as_f64().map(|logit| logit as f32), Some(f32::MIN));
}
