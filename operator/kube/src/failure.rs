//! Answers that say no, as a Kubernetes server words them. Clients decide by the reason, then by the code.

use serde_json::{Value, json};

use crate::resource::Resource;

/// A refusal, whole as the client sees it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: String,
    /// Of what.
    pub details: Option<Box<Details>>,
}

/// What a refusal speaks of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// Group of its kind.
    pub group: String,
    /// Plural, or the kind where its content is wrong.
    pub kind: String,
    /// What is wrong in detail.
    pub causes: Vec<Cause>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Like `FieldValueRequired`.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub field: String,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409, a name that is taken
    AlreadyExists,
    /// 409, another has written in between
    Conflict,
    /// 410
    Expired,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
}

// === impl Reason ===

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The status of HTTP.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A refusal in general.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: None }
    }

    /// The request cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// There is no such object.
    #[must_use]
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{} \"{name}\" not found", resource.qualified()))
            .of(resource, name)
    }

    /// There is no such path.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(Reason::NotFound, "the server could not find the requested resource")
    }

    /// The path does not take the method.
    #[must_use]
    pub fn not_allowed() -> Self {
        Self::new(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
    }

    /// The name is taken.
    #[must_use]
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} \"{name}\" already exists", resource.qualified()))
            .of(resource, name)
    }

    /// The object is another one by now.
    #[must_use]
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(Reason::Conflict, message).of(resource, name)
    }

    /// What happened since is not known any more.
    #[must_use]
    pub fn expired() -> Self {
        Self::new(Reason::Expired, "too old resource version")
    }

    /// The body is in a form that is not read.
    #[must_use]
    pub fn unsupported_media(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(Reason::UnsupportedMediaType, message)
    }

    /// The content is wrong.
    #[must_use]
    pub fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let mut told: Vec<String> = Vec::new();
        for cause in &causes {
            let one = format!("{}: {}", cause.field, cause.message);
            if !told.contains(&one) {
                told.push(one);
            }
        }
        let list = match told.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        };
        let kind = match resource.group.as_ref() {
            "" => resource.kind.to_string(),
            group => format!("{}.{group}", resource.kind),
        };
        let details = Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.kind.to_string(),
            causes,
        };
        Self {
            reason: Reason::Invalid,
            message: format!("{kind} \"{name}\" is invalid: {list}"),
            details: Some(Box::new(details)),
        }
    }

    /// The same with the object it speaks of.
    #[must_use]
    pub fn of(mut self, resource: &Resource, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.plural.to_string(),
            causes: Vec::new(),
        }));
        self
    }

    /// The same with causes.
    #[must_use]
    pub fn because(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    /// The Status object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason.as_str(), "code": self.reason.code(),
        });
        if let (Some(details), Some(fields)) = (&self.details, status.as_object_mut()) {
            fields.insert("details".to_owned(), details.to_value());
        }
        status
    }
}

// === impl Details ===

impl Details {
    fn to_value(&self) -> Value {
        let mut fields = serde_json::Map::new();
        for (name, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(
                |cause| json!({ "reason": cause.reason, "message": cause.message, "field": cause.field }),
            );
            fields.insert("causes".to_owned(), causes.collect());
        }
        Value::Object(fields)
    }
}
