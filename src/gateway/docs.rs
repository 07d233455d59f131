//! `GET /docs`: the description of the interface as a page for people. It is made from the one that programs read, and says
//! nothing that does not stand there. Pure.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

/// Methods that an operation may have.
const METHODS: [&str; 2] = ["get", "post"];

/// The page; `document` is what `/openapi.json` answers.
pub fn page(document: &Value) -> String {
    let info = &document["info"];
    let schemas = members(&document["components"]["schemas"]);
    let operations = operations(document);
    let groups = ["Commands", "Chargers"].map(|tag| Group::of(tag, &operations));
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (word(&info["title"])) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="page.css";
                link rel="stylesheet" href="docs.css";
            }
            body.docs {
                header { h1 { "Khumbu" } p.grow { (word(&info["title"])) " " (word(&info["version"])) } a href="./" { "Live page" } }
                main {
                    p { (word(&info["description"])) " Every request needs the header "
                        code { "Authorization: Bearer TOKEN" } "; khumbu prints the token when it starts, or it stands in the file of "
                        code { "--tokens" } ". " a href="openapi.json" { "openapi.json" } " has the same for programs." }
                    nav aria-label="Operations" {
                        @for Group { tag, operations, .. } in &groups {
                            p { a href={"#" (tag)} { (tag) } }
                            ul { @for it in operations { li { a href={"#" (it.id())} { (word(&it.about["summary"])) } } } }
                        }
                        p { a href="#schemas" { "Schemas" } }
                    }
                    @for group in &groups { (group.shown(document)) }
                    h2 id="schemas" { "Schemas" }
                    @for (name, schema) in schemas {
                        section.schema id={"schema-" (name)} {
                            h3 { (name) }
                            (described(schema))
                            @match variants(schema) {
                                Some(variants) => { p { "One of:" } ul { @for one in variants { li { (described(one)) (fields(one)) @if one["properties"].is_null() { (kind(one)) } } } } }
                                None if schema["properties"].is_object() => (fields(schema)),
                                None => p { (kind(schema)) },
                            }
                        }
                    }
                }
            }
        }
    };
    text.into_string()
}

/// Operations of a kind.
struct Group<'a> {
    tag: &'static str,
    operations: Vec<&'a Operation<'a>>,
    /// What all of them may be given, and answer; said once.
    parameters: Vec<&'a Value>,
    answers: Vec<(&'a String, &'a Value)>,
}

impl<'a> Group<'a> {
    fn of(tag: &'static str, all: &'a [Operation<'a>]) -> Self {
        let operations: Vec<_> = all.iter().filter(|it| it.about["tags"][0] == tag).collect();
        let (mut parameters, mut answers) = (Vec::new(), Vec::new());
        if let Some((first, others)) = operations.split_first() {
            parameters
                .extend(first.parameters().iter().filter(|it| others.iter().all(|one| one.parameters().contains(it))));
            let has = |one: &Operation, (status, answer): (&String, &Value)| {
                one.about["responses"].get(status) == Some(answer)
            };
            answers.extend(members(&first.about["responses"]).filter(|it| others.iter().all(|one| has(one, *it))));
        }
        Self { tag, operations, parameters, answers }
    }

    fn shown(&self, document: &Value) -> Markup {
        html! {
            h2 id=(self.tag) { (self.tag) }
            section {
                h3 { "What all of these take and answer" }
                @if !self.parameters.is_empty() { (table_of(&self.parameters)) }
                ul.answers { @for (status, answer) in &self.answers { (answered(status, answer)) } }
            }
            @for it in &self.operations { (it.shown(document, self)) }
        }
    }
}

/// Something that can be asked for.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    about: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = members(&document["paths"]);
    paths
        .flat_map(|(path, methods)| {
            let of_path = METHODS.into_iter().filter_map(move |method| Some((method, methods.get(method)?)));
            of_path.map(move |(method, about)| Operation { method, path, about })
        })
        .collect()
}

impl<'a> Operation<'a> {
    fn id(&self) -> &str {
        word(&self.about["operationId"])
    }

    fn parameters(&self) -> &'a [Value] {
        self.about["parameters"].as_array().map_or(&[], Vec::as_slice)
    }

    fn shown(&self, document: &Value, group: &Group) -> Markup {
        let body = &self.about["requestBody"]["content"]["application/json"]["schema"];
        let parameters: Vec<_> = self.parameters().iter().filter(|it| !group.parameters.contains(it)).collect();
        let answers = members(&self.about["responses"]).filter(|it| !group.answers.contains(it));
        html! {
            section.operation id=(self.id()) {
                h3 { (word(&self.about["summary"])) }
                p { span.method { (self.method.to_uppercase()) } " " code { (self.path) } }
                @if !parameters.is_empty() { (table_of(&parameters)) }
                @for (part, schema) in members(&body["properties"]) {
                    h4 { "Body: " code { (part) } (mark(is_required(body, part))) }
                    (part_of_body(schema, document))
                }
                h4 { "Answers" }
                ul.answers { @for (status, answer) in answers { (answered(status, answer)) } }
            }
        }
    }
}

fn table_of(parameters: &[&Value]) -> Markup {
    html! {
        table {
            thead { tr { th { "Parameter" } th { "Kind" } th { "Meaning" } } }
            tbody { @for it in parameters { tr {
                td { code { (word(&it["name"])) } (mark(it["required"] == true)) }
                td { (word(&it["in"])) ", " (kind(&it["schema"])) }
                td { (word(&it["description"])) }
            } } }
        }
    }
}

fn answered(status: &str, answer: &Value) -> Markup {
    html! {
        li { strong { (status) } " " (word(&answer["description"]))
            @for (media, content) in members(&answer["content"]) {
                " " (kind(&content["schema"]))
                @if media != "application/json" { " (" (media) ")" }
            }
        }
    }
}

/// What a part of a body has, without a detour over its schema.
fn part_of_body(schema: &Value, document: &Value) -> Markup {
    let whole = referred(schema).map_or(schema, |name| &document["components"]["schemas"][name]);
    html! {
        (described(whole))
        @match variants(whole) {
            Some(variants) => { @for (number, one) in (1..).zip(variants) { p.facts { "Form " (number) } (fields(one)) } },
            None => (fields(whole)),
        }
    }
}

fn fields(schema: &Value) -> Markup {
    let fields: Vec<_> = members(&schema["properties"]).filter(|(_, it)| it["type"] != "null").collect();
    html! {
        @if fields.is_empty() && schema["type"] == "object" { p.facts { "No fields." } }
        @if !fields.is_empty() {
            table {
                thead { tr { th { "Field" } th { "Kind" } th { "Meaning" } } }
                tbody { @for (name, it) in fields { tr {
                    td { code { (name) } (mark(is_required(schema, name))) }
                    td { (kind(it)) }
                    td { (word(&it["description"])) }
                } } }
            }
        }
    }
}

/// What a value may be, in a few words.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = referred(schema) {
        return html! { a href={"#schema-" (name)} { (name) } };
    }
    if let Some(variants) = variants(schema) {
        let variants: Vec<_> = variants.iter().filter(|it| it["type"] != "null").collect();
        return html! { @for (at, one) in variants.iter().enumerate() { @if at > 0 { " or " } (kind(one)) } };
    }
    if let Some(words) = schema["enum"].as_array() {
        return html! { @for (at, one) in words.iter().enumerate() { @if at > 0 { ", " } code { (text(one)) } } };
    }
    if let Some(word) = schema.get("const") {
        return html! { code { (text(word)) } };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).filter(|it| *it != "null").collect(),
        it => it.as_str().into_iter().collect(),
    };
    let limits =
        ["minimum", "exclusiveMinimum", "maximum", "minItems", "minProperties", "pattern", "format", "default"];
    html! {
        @match types.first().copied() {
            Some("array") => { "list of " (kind(&schema["items"])) },
            Some("object") if schema["additionalProperties"].is_object() => { "object of " (kind(&schema["additionalProperties"])) },
            Some(one) => (one),
            None => "anything",
        }
        @for name in limits { @if let Some(limit) = schema.get(name) { ", " (limit_word(name)) " " code { (text(limit)) } } }
    }
}

fn limit_word(name: &str) -> &str {
    match name {
        "minimum" | "minItems" | "minProperties" => "at least",
        "exclusiveMinimum" => "more than",
        "maximum" => "at most",
        "pattern" => "like",
        name => name,
    }
}

fn described(schema: &Value) -> Markup {
    html! { @if let Some(text) = schema["description"].as_str() { p { (text) } } }
}

fn mark(is_required: bool) -> Markup {
    html! { @if is_required { span.required title="required" { " required" } } }
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name))
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn variants(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::{commands, openapi};
    use super::*;

    #[test]
    fn everything_that_is_described_is_shown_and_every_link_leads_somewhere() {
        let document = openapi::document(&commands::all());
        let page = page(&document);
        for it in operations(&document) {
            assert!(page.contains(&format!("<code>{}</code>", it.path)), "{}", it.path);
            assert!(page.contains(&format!("id=\"{}\"", it.id())), "{}", it.id());
        }
        let links: Vec<_> = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() > 100, "{links:?}");
        for link in links {
            assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
        }
        assert!(!page.contains("<script") && !page.contains("style="));
        // What all operations of a kind have stands there once.
        assert_eq!(page.matches("<code>X-Organization-Id</code>").count(), 2);
        assert_eq!(page.matches("<strong>413</strong>").count(), 1);
    }
}
