//! What people send who have not read the documentation, and which is understood all the same.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::{App, FakeEngine, form, png};

const JSON: &str = "application/json";

/// As `base64` prints it.
fn in_lines(text: &str) -> String {
    text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn base64_may_have_line_breaks_and_either_alphabet_and_no_padding() {
    let app = App::new(FakeEngine::fast());
    let (standard, safe) = (STANDARD.encode(png()), URL_SAFE_NO_PAD.encode(png()));
    assert_ne!(standard, safe);
    let images = [in_lines(&standard), in_lines(&safe), safe.clone(), format!("data:image/png;base64,{safe}")];
    let answer = app.post("?attention=none", JSON, json!({ "images": images }).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for result in answer.json()["results"].as_array().unwrap() {
        assert_eq!(result["image"]["format"], "png", "{result}");
    }
}

#[tokio::test]
async fn null_is_the_default_and_a_byte_order_mark_is_nothing() {
    let app = App::new(FakeEngine::fast());
    let images = [STANDARD.encode(png())];
    let body = json!({ "images": images, "model": null, "top_k": null, "attention": null, "attention_top": null, "blocks": null });
    let answer = app.post("", JSON, format!("\u{feff}{body}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let plain = app.post("", JSON, json!({ "images": images }).to_string()).await;
    assert_eq!(answer.stable_json(), plain.stable_json());
    let (content_type, body) =
        form(&[("image", Some("a.png"), &png()), ("top_k", None, "\u{feff}2\r\n".as_bytes()), ("model", None, "\u{feff}fake".as_bytes())]);
    let answer = app.post("", &content_type, body).await;
    assert_eq!(answer.json()["results"][0]["predictions"].as_array().map(Vec::len), Some(2), "{}", answer.text());
}

#[tokio::test]
async fn a_form_needs_no_file_names_and_may_have_buttons_and_blank_fields() {
    let (content_type, body) = form(&[
        ("photo", None, &png()),
        ("submit", None, b"Classify"),
        ("other_photo", Some(""), b""),
        ("comment", None, b""),
        ("top_k", None, b""),
        ("blocks", None, b""),
    ]);
    let answer = App::new(FakeEngine::fast()).post("", &content_type, body).await;
    assert_eq!((answer.status.as_u16(), answer.json()["results"].as_array().map(Vec::len)), (200, Some(1)), "{}", answer.text());
}

#[tokio::test]
async fn a_field_that_is_nothing_of_it_is_told_what_a_picture_needs() {
    let (content_type, body) = form(&[("photo", None, b"cat.jpg")]);
    let detail = App::new(FakeEngine::fast()).post("", &content_type, body).await.problem(400, "invalid-parameter");
    assert_eq!(
        detail,
        "the field \"photo\" is neither a parameter nor a picture; a picture is a part with a file name, as curl -F image=@cat.jpg sends it, \
         or the bytes of an image file"
    );
}

#[tokio::test]
async fn pictures_and_json_are_told_by_their_first_bytes() {
    let app = App::new(FakeEngine::fast());
    assert_eq!(app.post("", JSON, png()).await.json()["image"]["format"], "png");
    let body = json!({ "images": [STANDARD.encode(png())] }).to_string();
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "image/*"] {
        let answer = app.post("", content_type, format!("\n{body}")).await;
        assert_eq!(answer.json()["results"][0]["image"]["format"], "png", "{content_type}: {}", answer.text());
    }
}

#[tokio::test]
async fn options_may_stand_in_the_query_and_in_the_body_where_they_are_the_same() {
    let app = App::new(FakeEngine::fast());
    let body = json!({ "images": [STANDARD.encode(png())], "top_k": 2, "blocks": ["layer1.*", "layer2.*"] }).to_string();
    let answer = app.post("?top_k=2&attention=none&blocks=layer1.*,layer2.*", JSON, body.clone()).await;
    assert_eq!(answer.json()["results"][0]["predictions"].as_array().map(Vec::len), Some(2), "{}", answer.text());
    let detail = app.post("?top_k=3", JSON, body).await.problem(400, "invalid-parameter");
    assert_eq!(detail, "top_k is one thing in the query and another in the body");
    let (content_type, body) = form(&[("image", Some("a.png"), &png()), ("attention", None, b"none")]);
    assert_eq!(app.post("?attention=none", &content_type, body.clone()).await.status, 200);
    app.post("?attention=full", &content_type, body).await.problem(400, "invalid-parameter");
}

#[tokio::test]
async fn no_message_speaks_of_types_of_the_service() {
    let app = App::new(FakeEngine::fast());
    for (name, value) in [
        ("top_k", json!(-1)),
        ("top_k", json!(1.5)),
        ("top_k", json!(1e300)),
        ("top_k", json!("2")),
        ("top_k", json!(true)),
        ("attention_top", json!([])),
        ("attention", json!(7)),
        ("model", json!({})),
        ("blocks", json!([1])),
        ("images", json!("aGV5")),
        ("images", json!([[]])),
        ("images", json!({"0": ""})),
    ] {
        let mut body = json!({"images": [""]});
        body[name] = value.clone();
        let answer = app.post("", JSON, body.to_string()).await;
        assert_eq!(answer.status, 400, "{name} = {value}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("expected"), "{detail}");
        for word in ["i64", "u64", "usize", "f64", "invalid type", "sequence", "map", "unit", "floating", "integer", "boolean", "serde"] {
            assert!(!detail.contains(word), "{word} in {detail}");
        }
    }
}
