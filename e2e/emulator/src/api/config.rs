//! Configuration of objects: the file, and its keywords.

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Call;
use super::reply::{Answer, empty, json_of, message, problem, with_type};
use crate::path::Path;
use crate::policy;
use crate::shapes;
use crate::stored::Stored;
use crate::world::{File, time};

// === impl Call ===

impl Call<'_> {
    pub(super) async fn config(&self, path: &Path, rest: &[&str]) -> Answer {
        match (self.method.as_str(), rest) {
            ("GET", ["file"]) => {
                let file = {
                    let inner = self.world.lock();
                    inner.nodes.get(&self.node).and_then(|node| node.files.get(path)).cloned()
                };
                match file {
                    Some(file) => self.file_answer(&file),
                    None => problem(404, "Not found", &format!("object not found: {path}")),
                }
            }
            ("POST" | "PUT", ["file"]) => self.write_file(path),
            ("GET", []) => self.keywords(path),
            ("PATCH", []) => self.set_keywords(path).await,
            (_, ["file"] | []) => message(405, "Method Not Allowed"),
            _ => message(404, "Not Found"),
        }
    }

    fn is_known(&self, path: &Path) -> bool {
        let inner = self.world.lock();
        shapes::known(&inner, &self.node).contains(path)
    }

    /// A file as the daemon serves it: with its time, on condition, in part.
    pub(super) fn file_answer(&self, file: &File) -> Answer {
        let text = file.stored.text().into_bytes();
        let modified = Timestamp::from_nanosecond(file.mtime).unwrap_or_default();
        let http_time = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let mut answer = if header("if-modified-since") == Some(&http_time) {
            empty(304)
        } else if let Some((from, to)) = header("range")
            .and_then(|text| text.strip_prefix("bytes=")?.split_once('-'))
            .and_then(|(from, to)| Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?)))
            .filter(|(from, to)| from <= to && *from < text.len())
        {
            let to = to.min(text.len() - 1);
            let range = format!("bytes {from}-{to}/{}", text.len());
            let mut part = with_type(206, "text/plain; charset=utf-8", text[from..=to].to_vec());
            if let Ok(range) = HeaderValue::from_str(&range) {
                part.headers_mut().insert("content-range", range);
            }
            part
        } else {
            with_type(200, "text/plain; charset=utf-8", text)
        };
        for (name, value) in [("om-last-modified", time(file.mtime)), ("last-modified", http_time)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().insert(name, value);
            }
        }
        if answer.status() != StatusCode::NOT_MODIFIED {
            answer.headers_mut().insert("accept-ranges", HeaderValue::from_static("bytes"));
        }
        answer
    }

    fn write_file(&self, path: &Path) -> Answer {
        let is_new = self.method == Method::POST;
        let before = {
            let inner = self.world.lock();
            inner.nodes.get(&self.node).and_then(|node| node.files.get(path)).map(|file| file.stored.clone())
        };
        if is_new && before.is_some() {
            return problem(
                409,
                "Conflict",
                "Use the PUT method instead of POST to update the object config",
            );
        }
        if !is_new && !self.is_known(path) {
            return problem(404, "Not found", "Use the POST method instead of PUT to create the object");
        }
        let forbidden = |words: &str| problem(403, "Forbidden", &format!("Config validation: {words}"));
        let mut stored = match Stored::parse(&String::from_utf8_lossy(&self.body)) {
            Ok(stored) => stored,
            Err(reason) => return forbidden(&format!("new object: load config sources error: {reason}")),
        };
        if let Some(reason) = policy::denial(&self.caller, &stored) {
            return forbidden(&reason);
        }
        if policy::is_invalid(&stored) {
            // What the daemon says of it.
            return problem(400, "Validate config", "%!s(<nil>)");
        }
        if let Some(id) = before.as_ref().and_then(|before| before.keyword("DEFAULT", "id")) {
            stored.set("DEFAULT", "id", id);
        }
        let now = self.world.lock().now(&self.node);
        self.world.install(&self.node, path, stored, now);
        empty(204)
    }

    fn keywords(&self, path: &Path) -> Answer {
        let is_evaluated = self.param("evaluate") == Some("true");
        if self.param("impersonate").is_some() && !is_evaluated {
            return problem(400, "Bad request", "impersonate can only be specified with evaluate=true");
        }
        let node = self.param("impersonate").unwrap_or(&self.node);
        let stored = {
            let inner = self.world.lock();
            inner.nodes.get(&self.node).and_then(|node| node.files.get(path)).map(|file| file.stored.clone())
        };
        let Some(stored) = stored else { return json_of(200, &json!({"items": [], "kind": "KeywordList"})) };
        let item = |name: &str, value: &str, evaluated: &str| {
            let mut item = json!({
                "evaluated_as": if is_evaluated { node } else { "" }, "keyword": name, "node": "",
                "object": path.to_string(), "value": value,
            });
            if is_evaluated {
                let words = evaluated.split_whitespace().collect::<Vec<_>>();
                item["evaluated"] = if name == "nodes" { json!(words) } else { evaluated.into() };
            }
            item
        };
        let mut items: Vec<Value> = Vec::new();
        let wanted = self.params("kw");
        if wanted.is_empty() {
            for (section, entries) in &stored.sections {
                for entry in entries {
                    let is_default = section == "DEFAULT";
                    let name =
                        if is_default { entry.name.clone() } else { format!("{section}.{}", entry.name) };
                    items.push(item(&name, &entry.value, &entry.value));
                }
            }
        }
        for name in wanted {
            let (section, keyword) = name.rsplit_once('.').unwrap_or(("DEFAULT", name));
            let value = stored.keyword(section, keyword).unwrap_or_default();
            let evaluated = stored.scoped(section, keyword, node).unwrap_or_default();
            items.push(item(name, value, evaluated));
        }
        json_of(200, &json!({"items": items, "kind": "KeywordList"}))
    }

    pub(super) fn cluster_config(&self) -> Answer {
        let item = |name: &&str| {
            let value = if *name == "cluster.name" { self.world.name.as_str() } else { "" };
            json!({"evaluated_as": "", "keyword": name, "node": "", "object": "cluster", "value": value})
        };
        let items: Vec<Value> = self.params("kw").iter().map(item).collect();
        json_of(200, &json!({"items": items, "kind": "KeywordList"}))
    }

    async fn set_keywords(&self, path: &Path) -> Answer {
        if !self.is_known(path) {
            return problem(404, "Not found", &format!("object not found: {path}"));
        }
        let (set, unset, delete) = (self.params("set"), self.params("unset"), self.params("delete"));
        if set.is_empty() && unset.is_empty() && delete.is_empty() {
            return problem(400, "No valid update requested", "");
        }
        let mut is_changed = false;
        let done = self.world.write(&self.node, path, |stored| {
            let mut after = stored.clone();
            after.sections.retain(|(name, _)| !delete.contains(&name.as_str()));
            for keyword in &unset {
                let (section, keyword) = keyword.rsplit_once('.').unwrap_or(("DEFAULT", keyword));
                after.unset(section, keyword);
            }
            for operation in &set {
                operate(&mut after, operation);
            }
            if let Some(reason) = policy::denial(&self.caller, &after) {
                return (false, Err(reason));
            }
            if policy::is_invalid(&after) {
                return (false, Err(format!("configuration validation has errors for object {path}")));
            }
            is_changed = after != *stored;
            *stored = after;
            (is_changed, Ok(()))
        });
        match done.await {
            Ok(()) => json_of(200, &json!({"is_changed": is_changed})),
            Err(reason) => problem(500, "Update config", &reason),
        }
    }
}

/// `keyword=value`, `keyword+=word`, `keyword-=word`, `keyword|=word`.
fn operate(stored: &mut Stored, operation: &str) {
    let (name, value) = operation.split_once('=').unwrap_or((operation, ""));
    let operator = name.chars().last().filter(|last| matches!(last, '+' | '-' | '|'));
    let name = name.trim_end_matches(['+', '-', '|']);
    let (section, keyword) = name.rsplit_once('.').unwrap_or(("DEFAULT", name));
    let before = stored.keyword(section, keyword).unwrap_or_default().to_owned();
    let mut words: Vec<&str> = before.split_whitespace().collect();
    let after = match operator {
        None => value.to_owned(),
        Some('-') => {
            words.retain(|word| *word != value);
            words.join(" ")
        }
        Some('|') if words.contains(&value) => before.clone(),
        Some(_) => {
            words.push(value);
            words.join(" ")
        }
    };
    stored.set(section, keyword, &after);
}
