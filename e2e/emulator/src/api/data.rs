//! Keys of objects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::reply::{Answer, empty, json_of, message, problem, with_type};
use super::{Broken, Call, MAX_VALUE, Outcome};
use crate::path::Path;
use crate::shapes;
use crate::stored::{Coding, Stored};
use crate::users::Refusal;

// === impl Call ===

impl Call<'_> {
    pub(super) async fn data(&self, path: &Path, rest: &[&str]) -> Outcome {
        if !path.holds_keys() {
            return Ok(problem(400, "Bad request", "not a data store"));
        }
        let (is_known, stored) = {
            let inner = self.world.lock();
            // Data are answered for sooner than lists after a start of the daemon.
            let state = inner.nodes.get(&self.node);
            let is_published = state.is_some_and(|state| state.published.contains_key(path));
            let stored = state.and_then(|state| state.files.get(path)).map(|file| file.stored.clone());
            (is_published || shapes::known(&inner, &self.node).contains(path), stored.unwrap_or_default())
        };
        // Not published yet, or never made: nothing is done, and nothing is said.
        if !is_known {
            return Ok(empty(200));
        }
        if let Some(damage) = stored.damage() {
            return Ok(problem(500, "NewDataStore", &format!("load config sources error: {damage}")));
        }
        let name = self.param("name").unwrap_or_default();
        if rest == ["key"] && self.param("name").is_none() {
            return Ok(message(400, "Invalid format for parameter name: query parameter 'name' is required"));
        }
        Ok(match (self.method.as_str(), rest) {
            ("GET", ["key"]) if name.is_empty() => problem(400, "DecodeKey", "key name is empty"),
            ("POST", ["key"]) if name.is_empty() => problem(400, "AddKey", ": key name is empty"),
            ("GET", ["keys"]) => {
                let item = |(name, size): (String, usize)| json!({"object": path.to_string(), "node": self.node, "name": name, "size": size});
                let items: Vec<Value> = stored.keys().into_iter().map(item).collect();
                json_of(200, &json!({"kind": "DataKeyList", "items": items}))
            }
            ("GET", ["key"]) => match stored.value(name) {
                Some(value) => with_type(200, "application/octet-stream", value),
                None => problem(404, "DecodeKey", &format!("key does not exist: {name}")),
            },
            ("GET", []) => self.values(&stored),
            ("PATCH", []) => return self.patch(path).await,
            ("PUT", ["key"]) if stored.value(name).is_none() => {
                problem(404, "ChangeKey", &format!("{name}: %!s(<nil>). consider using the POST method."))
            }
            ("POST", ["key"]) if stored.value(name).is_some() => {
                problem(409, "AddKey", &format!("{name}: key already exists. consider using the PUT method."))
            }
            // Its length was not known before it was read.
            ("PUT" | "POST", ["key"]) if self.body.len() > MAX_VALUE => {
                let title = if self.method == "POST" { "AddKey" } else { "ChangeKey" };
                problem(500, title, &format!("{name}: key value exceeds the allowed size"))
            }
            ("PUT" | "POST", ["key"]) => {
                self.change(path, |stored, coding| (stored.set_value(name, &self.body, coding), Ok(()))).await
            }
            ("DELETE", ["key"]) => self.change(path, |stored, _| (stored.remove_value(name), Ok(()))).await,
            _ => message(405, "Method Not Allowed"),
        })
    }

    fn values(&self, stored: &Stored) -> Answer {
        let mut values = Vec::new();
        for name in self.params("name") {
            match stored.value(name) {
                Some(value) => values.push(json!({"name": name, "bytes": STANDARD.encode(value)})),
                None => return problem(500, "DecodeKey", &format!("{name}: key does not exist: {name}")),
            }
        }
        json_of(200, &json!(values))
    }

    async fn patch(&self, path: &Path) -> Outcome {
        if self.body.is_empty() {
            return Ok(empty(204));
        }
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
            return Ok(problem(400, "Invalid body", "error: code=415, message=Unsupported Media Type"));
        }
        let Ok(Value::Array(items)) = serde_json::from_slice::<Value>(&self.body) else {
            return Ok(problem(
                400,
                "Invalid body",
                "error: code=400, message=the body is no list of changes",
            ));
        };
        let mut coded = items.iter().filter_map(|item| item["bytes"].as_str());
        if coded.any(|coded| STANDARD.decode(coded).is_err()) {
            return Ok(problem(400, "Invalid body", "error: code=400, message=illegal base64 data"));
        }
        if items.iter().any(|item| item["action"] == "rename" && item["to"].is_null()) {
            return Err(Broken);
        }
        let answer = self.change(path, |stored, coding| {
            let before = stored.clone();
            let mut complaint = Ok(());
            for item in &items {
                match apply(stored, item, coding) {
                    Ok(()) => {}
                    // It complains, and goes on with an empty value.
                    Err((400, title, words))
                        if title == "Invalid parameters" && words.contains("add or change") =>
                    {
                        stored.set_value(item["name"].as_str().unwrap_or_default(), b"", coding);
                        complaint = Err((400, title, words));
                    }
                    Err(refusal) => {
                        *stored = before;
                        return (false, Err(refusal));
                    }
                }
            }
            (*stored != before, complaint)
        });
        Ok(answer.await)
    }

    async fn change(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Stored, Coding<'_>) -> (bool, Result<(), Refusal>),
    ) -> Answer {
        let coding = match path.kind.as_str() {
            "cfg" => Coding::Plain,
            _ => Coding::Sealed(&self.world.name, &self.node),
        };
        match self.world.write(&self.node, path, |stored| change(stored, coding)).await {
            Ok(()) => empty(204),
            Err((status, title, detail)) => problem(status, title, &detail),
        }
    }
}

/// Makes one change of a list.
fn apply(stored: &mut Stored, item: &Value, coding: Coding<'_>) -> Result<(), Refusal> {
    let name = item["name"].as_str().unwrap_or_default();
    let title = match item["action"].as_str().unwrap_or_default() {
        "add" => "AddKey",
        "change" => "ChangeKey",
        "remove" => "RemoveKey",
        "rename" => "RenameKey",
        other => {
            let detail = format!("{name}: action {other} is not supported, use add, change or remove");
            return Err((400, "Invalid parameters", detail));
        }
    };
    if name.is_empty() {
        return Err((500, title, ": key name is empty".to_owned()));
    }
    match title {
        "RemoveKey" => {
            stored.remove_value(name);
            return Ok(());
        }
        "RenameKey" => {
            let to = item["to"].as_str().unwrap_or_default();
            if stored.value(to).is_some() {
                return Err((500, title, format!("{name}: key already exists: {to}")));
            }
            let Some(value) = stored.value(name) else {
                let detail = format!(
                    "{name}: configuration does not exist: key 'data.{name}' not found (unscopable kw)"
                );
                return Err((500, title, detail));
            };
            stored.remove_value(name);
            stored.set_value(to, &value, coding);
            return Ok(());
        }
        _ => {}
    }
    let value = match (item["string"].as_str(), item["bytes"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(coded)) => STANDARD.decode(coded).unwrap_or_default(),
        (None, None) => {
            let detail = format!("bytes or string is required to add or change key {name}");
            return Err((400, "Invalid parameters", detail));
        }
        (Some(_), Some(_)) => {
            let detail = format!("only one of bytes or string is allowed to add or change key {name}");
            return Err((400, "Invalid parameters", detail));
        }
    };
    if value.len() > MAX_VALUE {
        return Err((413, title, format!("{name}: key value exceeds the allowed size")));
    }
    if title == "AddKey" && stored.value(name).is_some() {
        return Err((500, title, format!("{name}: key already exists")));
    }
    stored.set_value(name, &value, coding);
    Ok(())
}
