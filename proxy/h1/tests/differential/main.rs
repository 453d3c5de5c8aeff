//! Streams of requests and responses, valid and damaged, read by three readers: the parser of this crate, a strict
//! reader around httparse that holds what RFC 9110 and RFC 9112 demand, and hyper. Every disagreement in what is taken
//! and in how it is framed belongs to a class that is explained, or fails the test with the bytes.

use std::collections::BTreeMap;
use std::fmt;

mod chunked;
mod classes;
mod ours;
mod peer;
mod random;
mod streams;
mod strict;
mod uri;

use classes::{Case, Class};
use random::Random;

/// A message as a reader has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Method or status.
    subject: Vec<u8>,
    target: Target,
    /// Whether the version is 1.1 and not 1.0.
    is_11: bool,
    fields: Vec<Field>,
    content: Vec<u8>,
    trailers: Vec<Field>,
}

/// A field.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// In lower case.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Content with its trailers.
pub struct Content {
    bytes: Vec<u8>,
    trailers: Vec<Field>,
    /// Bytes that it takes in the stream.
    len: usize,
}

/// A whole message in a stream.
pub struct Taken {
    message: Message,
    /// Bytes that it takes.
    len: usize,
    /// Whether the connection goes on after it.
    persists: bool,
}

/// What a request is for; all empty in a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Only where the target has it.
    authority: Option<Vec<u8>>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
}

/// What becomes of the next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is read.
    Taken(Message),
    /// It breaks a rule, named in the reader's own words.
    Refused(String),
    /// More bytes are wanted.
    Waiting,
    /// The message before was the last of its connection.
    Closed,
}

/// All messages of a stream; the last step is none that is taken.
#[derive(Clone, Debug)]
pub struct Reading {
    steps: Vec<Step>,
    /// Where the message of each step begins, for readers that tell.
    starts: Vec<usize>,
}

/// How often each class explained something.
#[derive(Default)]
struct Counts {
    n_agreed: usize,
    n_classes: BTreeMap<&'static str, usize>,
    /// The last disagreement of each kind that no class explains.
    unexplained: BTreeMap<[String; 2], String>,
}

#[test]
fn requests_are_taken_as_by_others_or_the_difference_is_explained() {
    let mut random = Random::new(0x1973_0a5e);
    let (mut strict, mut hyper, mut alone) = (Counts::default(), Counts::default(), Counts::default());
    for _ in 0..N_REQUEST_STREAMS {
        let stream = streams::requests(&mut random);
        let ours = ours::requests(&stream);
        let readers = [strict::requests(&stream), peer::requests(&stream)];
        strict.compare(classes::OF_STRICT_REQUESTS, &stream, &ours, &readers[0]);
        hyper.compare(classes::OF_HYPER_REQUESTS, &stream, &ours, &readers[1]);
        alone.compare_alone(classes::OF_REQUESTS_ALONE, &stream, &ours, &readers);
    }
    [&strict, &hyper, &alone].iter().for_each(|counts| counts.check());
    strict.check_use(classes::OF_STRICT_REQUESTS);
    hyper.check_use(classes::OF_HYPER_REQUESTS);
}

#[test]
fn responses_are_taken_as_by_others_or_the_difference_is_explained() {
    let mut random = Random::new(0x6f3e_9d21);
    let (mut strict, mut hyper, mut alone) = (Counts::default(), Counts::default(), Counts::default());
    for _ in 0..N_RESPONSE_STREAMS {
        let (is_head, stream) = streams::responses(&mut random);
        let ours = ours::responses(is_head, &stream);
        let readers = [strict::responses(is_head, &stream), peer::responses(is_head, &stream)];
        strict.compare(classes::OF_STRICT_RESPONSES, &stream, &ours, &readers[0]);
        hyper.compare(classes::OF_HYPER_RESPONSES, &stream, &ours, &readers[1]);
        alone.compare_alone(classes::OF_RESPONSES_ALONE, &stream, &ours, &readers);
    }
    [&strict, &hyper, &alone].iter().for_each(|counts| counts.check());
    strict.check_use(classes::OF_STRICT_RESPONSES);
    hyper.check_use(classes::OF_HYPER_RESPONSES);
}

// === impl Reading ===

impl Reading {
    /// Reads messages, each of which may break a rule or not be whole, until one does or is not.
    fn of(stream: &[u8], read: impl Fn(&[u8]) -> Result<Option<Taken>, String>) -> Self {
        let mut reading = Self { steps: Vec::new(), starts: vec![0] };
        let mut start = 0;
        loop {
            let step = match read(&stream[start..]) {
                Err(rule) => Step::Refused(rule),
                Ok(None) => Step::Waiting,
                Ok(Some(taken)) => {
                    reading.steps.push(Step::Taken(taken.message));
                    start += taken.len;
                    reading.starts.push(start);
                    if taken.persists {
                        continue;
                    }
                    Step::Closed
                }
            };
            reading.steps.push(step);
            return reading;
        }
    }
}

// === impl Field ===

impl Field {
    /// Fields by name; those of one name stay in order.
    fn sorted<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Vec<Self> {
        let field =
            |(name, value): (&[u8], &[u8])| Self { name: name.to_ascii_lowercase(), value: value.to_vec() };
        let mut fields: Vec<_> = fields.map(field).collect();
        fields.sort_by(|left, right| left.name.cmp(&right.name));
        fields
    }
}

// === impl Counts ===

impl Counts {
    /// Goes through the messages of two readers up to where they disagree.
    fn compare(&mut self, classes: &[Class], stream: &[u8], ours: &Reading, theirs: &Reading) {
        for (at, (our, their)) in ours.steps.iter().zip(&theirs.steps).enumerate() {
            let is_agreed = match (our, their) {
                (Step::Taken(our), Step::Taken(their)) => our == their,
                (Step::Taken(_), _) | (_, Step::Taken(_)) => false,
                _ => return,
            };
            if is_agreed {
                self.n_agreed += 1;
                continue;
            }
            self.explain(classes, stream, ours, at, their);
            return;
        }
    }

    /// Looks for a message that we take and both others refuse or frame in another way.
    fn compare_alone(&mut self, classes: &[Class], stream: &[u8], ours: &Reading, readers: &[Reading; 2]) {
        for (at, our) in ours.steps.iter().enumerate() {
            let [Some(strict), Some(hyper)] = readers.each_ref().map(|reader| reader.steps.get(at)) else {
                return;
            };
            match our {
                Step::Taken(_) if strict == our && hyper == our => self.n_agreed += 1,
                Step::Taken(_) if strict != our && hyper != our => {
                    return self.explain(classes, stream, ours, at, strict);
                }
                _ => return,
            }
        }
    }

    fn explain(&mut self, classes: &[Class], stream: &[u8], ours: &Reading, at: usize, theirs: &Step) {
        let our = &ours.steps[at];
        let before = match at.checked_sub(1).map(|before| &ours.steps[before]) {
            Some(Step::Taken(before)) => Some(before),
            _ => None,
        };
        let case = Case { bytes: &stream[ours.starts[at]..], before, ours: our, theirs };
        if let Some(class) = classes.iter().find(|class| (class.explains)(&case)) {
            *self.n_classes.entry(class.name).or_default() += 1;
        } else {
            let text = format!("message {at} of {}\n  {our:?}\n  {theirs:?}", stream.escape_ascii());
            self.unexplained.insert([our, theirs].map(Step::kind), text);
        }
    }

    /// Nothing is unexplained, and messages enough are read alike for that to mean something.
    fn check(&self) {
        for (kind, text) in &self.unexplained {
            println!("ours {}, theirs {}: {text}\n", kind[0], kind[1]);
        }
        assert!(
            self.unexplained.is_empty(),
            "{} kinds of disagreement are unexplained",
            self.unexplained.len()
        );
        assert!(self.n_agreed >= AGREED_MIN, "only {} messages taken alike", self.n_agreed);
    }

    /// Every class is of use.
    fn check_use(&self, classes: &[Class]) {
        println!("{} messages taken alike", self.n_agreed);
        for Class { name, rule, why, .. } in classes {
            let n_cases = self.n_classes.get(name).copied().unwrap_or_default();
            println!("{n_cases:6} {name} ({rule}): {why}");
            assert!(n_cases > 0, "{name} explains nothing");
        }
    }
}

// === impl Step ===

impl Step {
    fn kind(&self) -> String {
        match self {
            Self::Taken(_) => "taken".into(),
            Self::Refused(rule) => rule.clone(),
            Self::Waiting => "waiting".into(),
            Self::Closed => "closed".into(),
        }
    }
}

// === impl Message ===

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { authority, path, query } = &self.target;
        let text = |text: &Option<Vec<u8>>| text.as_ref().map(|text| text.escape_ascii().to_string());
        write!(f, "{} {:?} {}", self.subject.escape_ascii(), text(authority), path.escape_ascii())?;
        write!(f, " {:?} {}", text(query), if self.is_11 { "1.1" } else { "1.0" })?;
        for Field { name, value } in self.fields.iter().chain(&self.trailers) {
            write!(f, " [{}: {}]", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(f, " {} trailers, {:?}", self.trailers.len(), self.content.escape_ascii().to_string())
    }
}

const N_REQUEST_STREAMS: usize = 40_000;
const N_RESPONSE_STREAMS: usize = 30_000;
/// Fewer would say that hardly any message is valid.
const AGREED_MIN: usize = 14_000;
