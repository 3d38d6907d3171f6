//! The pages that the `type` of a problem leads to.

use axum::response::Html;

use super::name::Name;
use crate::http::problem::{Facts, Kind, Problem};

const HEAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
code{font-family:ui-monospace,monospace}dt{margin-top:1.2rem;font-weight:600}dd{margin:0}a{color:light-dark(#0b57d0,#8ab4f8)}</style>
"#;

/// All types of problems.
pub(crate) async fn list_problems() -> Html<String> {
    let entry = |kind: Kind| {
        let Facts { name, status, title, meaning } = kind.facts();
        format!("<dt id=\"{name}\"><a href=\"/problems/{name}\">{title}</a> ({})</dt><dd>{meaning}</dd>\n", status.as_u16())
    };
    let entries: String = Kind::ALL.into_iter().map(entry).collect();
    Html(format!("{HEAD}<title>Problems</title><h1>Problems</h1><dl>\n{entries}</dl>\n"))
}

/// One type of problem.
pub(crate) async fn describe_problem(Name(name): Name) -> Result<Html<String>, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.facts().name == name);
    let unknown = || Problem::new(Kind::NotFound, "there is no such type of problem; GET /problems lists them");
    let Facts { name, status, title, meaning } = kind.ok_or_else(unknown)?.facts();
    Ok(Html(format!(
        "{HEAD}<title>{title}</title><h1>{title}</h1><p><code>/problems/{name}</code>, status {}</p><p>{meaning}</p>\
         <p><a href=\"/problems\">All problems</a></p>\n",
        status.as_u16()
    )))
}
