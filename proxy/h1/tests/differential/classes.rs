//! Why readers disagree: each class says what it explains, by which section, and why it is right for a gateway.

use crate::strict::is_token;
use crate::{Field, Message, Step};

/// One message that is read in two ways.
pub struct Case<'c> {
    /// The stream from the start of the message.
    pub bytes: &'c [u8],
    /// The message before, if there is one.
    pub before: Option<&'c Message>,
    pub ours: &'c Step,
    pub theirs: &'c Step,
}

/// An explanation.
pub struct Class {
    pub name: &'static str,
    pub rule: &'static str,
    pub why: &'static str,
    pub explains: fn(&Case<'_>) -> bool,
}

pub const OF_STRICT_REQUESTS: &[Class] = &[
    EMPTY_LINES,
    CONNECT,
    TRACE,
    EXPECTATION,
    CONNECTION_OPTION,
    CODING,
    BOTH_FRAMINGS,
    LENGTH_REPEATED,
    HOST,
    TARGET_AUTHORITY,
    TARGET_SCHEME,
    LONG_LINE,
    MANY_FIELDS,
    SIZE_SPACE,
    SIZE_DIGITS,
    TARGET_BYTES,
    LATE_FIELDS,
];

pub const OF_HYPER_REQUESTS: &[Class] = &[
    EMPTY_LINES,
    LINE_FEED,
    CONNECT,
    TRACE,
    EXPECTATION,
    CONNECTION_OPTION,
    CODING,
    BOTH_FRAMINGS,
    LENGTH_REPEATED,
    NO_HOST,
    HOST,
    TARGET_AUTHORITY,
    TARGET_SCHEME,
    TARGET_DELIMITERS,
    LONG_LINE,
    SIZE_SPACE,
    SIZE_DIGITS,
    EXTENSION,
    TARGET_BYTES,
    OPTIONS_OF_SERVER,
    LATE_FIELDS,
];

pub const OF_REQUESTS_ALONE: &[Class] = &[TARGET_BYTES, LATE_FIELDS];

pub const OF_STRICT_RESPONSES: &[Class] = &[
    UNREAD_FRAMING,
    CONNECTION_OPTION,
    CODING_UNTIL_CLOSE,
    CODING,
    BOTH_FRAMINGS,
    LENGTH_REPEATED,
    MANY_FIELDS,
    SIZE_SPACE,
    SIZE_DIGITS,
    SUSPECT,
    NO_REASON,
    LATE_FIELDS,
];

pub const OF_HYPER_RESPONSES: &[Class] = &[
    UNREAD_FRAMING,
    LINE_FEED,
    LEADING_LINES,
    STATUS,
    CONNECTION_OPTION,
    CODING_UNTIL_CLOSE,
    CODING,
    BOTH_FRAMINGS,
    LENGTH_REPEATED,
    SIZE_SPACE,
    SIZE_DIGITS,
    EXTENSION,
    LATE_FIELDS,
];

pub const OF_RESPONSES_ALONE: &[Class] = &[NO_REASON, LATE_FIELDS];

const EMPTY_LINES: Class = Class {
    name: "empty lines before a request",
    rule: "RFC 9112 2.2",
    why: "at least one is to be ignored; we ignore one, as old clients sent, and no more",
    explains: |case| {
        let is_refused = case.refused("Method") || case.refused("LineEnd");
        is_refused && matches!(case.bytes, [b'\n', ..] | [b'\r', b'\n', b'\r' | b'\n', ..])
    },
};
const LINE_FEED: Class = Class {
    name: "line feed alone",
    rule: "RFC 9112 2.2",
    why: "a recipient may take it for a line end; what one may and another need not is two messages in one",
    explains: |case| {
        let has_one = case.bytes.starts_with(b"\n")
            || case.bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        let refusals = ["LineEnd", "Field(BareLineFeed)", "Trailer(BareLineFeed)"];
        has_one && refusals.iter().any(|refusal| case.refused(refusal))
    },
};
const LEADING_LINES: Class = Class {
    name: "empty lines before a response",
    rule: "RFC 9112 2.2",
    why: "only a server is to ignore them; before a response they are left of another message",
    explains: |case| case.refused("Version") && matches!(case.bytes, [b'\r' | b'\n', ..]),
};
const CONNECT: Class = Class {
    name: "method CONNECT",
    rule: "RFC 9110 9.3.6",
    why: "a gateway opens no tunnel to where the client wants",
    explains: |case| case.refused("Connect") && case.told().is_some_and(|told| told.subject == b"CONNECT"),
};
const TRACE: Class = Class {
    name: "TRACE with content",
    rule: "RFC 9110 9.3.8",
    why: "a client must not send content; who takes TRACE for a method without content reads it as a request",
    explains: |case| {
        let is_framed =
            |told: &Message| ["content-length", "transfer-encoding"].iter().any(|name| told.has(name));
        case.refused("TraceBody")
            && case.told().is_some_and(|told| told.subject == b"TRACE" && is_framed(told))
    },
};
const EXPECTATION: Class = Class {
    name: "expectation that is not known",
    rule: "RFC 9110 10.1.1",
    why: "a server may answer 417 to any but 100-continue; a gateway cannot promise what it does not know",
    explains: |case| {
        let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        let is_plain =
            |told: &Message| told.values("expect").all(is_known) && told.values("expect").count() == 1;
        case.refused("Expectation") && case.told().is_some_and(|told| told.has("expect") && !is_plain(told))
    },
};
const CONNECTION_OPTION: Class = Class {
    name: "connection option that is no token",
    rule: "RFC 9110 7.6.1",
    why: "an option names a field that must not be forwarded, and this one cannot be told",
    explains: |case| {
        let is_odd = |told: &Message| {
            told.elements("connection").any(|option| !option.is_empty() && !is_token(option))
        };
        case.refused("Field(ConnectionOption)") && case.told().is_some_and(is_odd)
    },
};
const CODING: Class = Class {
    name: "transfer coding in another spelling than chunked alone",
    rule: "RFC 9112 6.1, RFC 9110 5.6.1",
    why: "empty elements, more lines and other codings may be there by the grammar, and are how codings are hidden",
    explains: |case| {
        let is_refused = case.refused("Framing(Coding)") || case.refused("Framing(CodingUnknown)");
        let is_plain = |told: &Message| {
            let mut values = told.values("transfer-encoding");
            values.next().is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
                && values.next().is_none()
        };
        let ends_chunked = |told: &Message| {
            let last = told.elements("transfer-encoding").rfind(|element| !element.is_empty());
            last.is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        };
        is_refused && case.told().is_some_and(|told| !is_plain(told) && ends_chunked(told))
    },
};
const CODING_UNTIL_CLOSE: Class = Class {
    name: "response whose last coding is not chunked",
    rule: "RFC 9112 6.3",
    why: "its end is that of the connection, which an attacker in between moves; no server that we serve needs it",
    explains: |case| {
        let is_refused = case.refused("Framing(Coding)") || case.refused("Framing(CodingUnknown)");
        let ends_chunked = |told: &Message| {
            let last = told.elements("transfer-encoding").rfind(|element| !element.is_empty());
            last.is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        };
        is_refused && case.told().is_some_and(|told| told.has("transfer-encoding") && !ends_chunked(told))
    },
};
const BOTH_FRAMINGS: Class = Class {
    name: "Content-Length and Transfer-Encoding",
    rule: "RFC 9112 6.3",
    why: "a server may refuse it or go by the coding; it is how requests are smuggled",
    explains: |case| {
        let has_both = case.has_line(b"content-length:") && case.has_line(b"transfer-encoding:");
        case.refused("Framing(LengthAndCoding)") && has_both && case.told().is_some()
    },
};
const LENGTH_REPEATED: Class = Class {
    name: "the same Content-Length more than once",
    rule: "RFC 9110 8.6",
    why: "a recipient may refuse it or take the one length; we cannot know which of them the next reader takes",
    explains: |case| {
        let is_repeated = case.n_lines(b"content-length:") > 1
            || case
                .told()
                .is_some_and(|told| told.values("content-length").any(|value| value.contains(&b',')));
        case.refused("Framing(LengthRepeated)") && is_repeated && case.told().is_some()
    },
};
const UNREAD_FRAMING: Class = Class {
    name: "malformed framing of a response without content",
    rule: "RFC 9112 6.3",
    why: "its length is known to be none, but a server that frames its messages wrong is not to be asked again",
    explains: |case| {
        let Step::Refused(refusal) = case.ours else { return false };
        let is_framed = case.has_line(b"content-length:") || case.has_line(b"transfer-encoding:");
        // A length of zero says that there is no content as well, and is not what is malformed.
        let is_without_content = |told: &Message| {
            told.content.is_empty()
                && told.trailers.is_empty()
                && told.values("content-length").all(|value| value != b"0")
        };
        refusal.starts_with("Framing(") && is_framed && case.told().is_some_and(is_without_content)
    },
};
const NO_HOST: Class = Class {
    name: "no Host or more than one",
    rule: "RFC 9112 3.2",
    why: "400 is demanded; hyper leaves it to who uses it",
    explains: |case| {
        let n_hosts = case.told().map_or(1, |told| told.values("host").count());
        (case.refused("HostMissing") && n_hosts == 0) || (case.refused("HostRepeated") && n_hosts > 1)
    },
};
const HOST: Class = Class {
    name: "Host that nothing can be routed by",
    rule: "RFC 9110 7.2, 4.2.1",
    why: "the grammar allows sub-delimiters, percent-encoding, empty names and any number for a port; DNS does not",
    explains: |case| {
        case.refused("Host") && case.told().is_some_and(|told| !told.values("host").all(is_routable))
    },
};
const TARGET_AUTHORITY: Class = Class {
    name: "authority of a target that nothing can be routed by",
    rule: "RFC 9112 3.2.2, RFC 9110 4.2",
    why: "the same as of Host; and a user in it is an error",
    explains: |case| {
        let is_routable = case
            .told()
            .and_then(|told| told.target.authority.as_ref())
            .is_some_and(|authority| is_routable(authority));
        case.refused("TargetAuthority") && case.told().is_some() && !is_routable
    },
};
const TARGET_SCHEME: Class = Class {
    name: "target of another scheme or form",
    rule: "RFC 9112 3.2, RFC 9110 7.4",
    why: "a gateway speaks for http and https; the asterisk is for OPTIONS and the authority for CONNECT",
    explains: |case| {
        let target = case.target().to_ascii_lowercase();
        let is_ours = [&b"/"[..], b"http://", b"https://"].iter().any(|start| target.starts_with(start));
        case.refused("TargetForm") && !is_ours && case.told().is_some()
    },
};
const TARGET_DELIMITERS: Class = Class {
    name: "target with a fragment, a quote, an angle bracket, a backslash or a byte that is not ASCII",
    rule: "RFC 9112 3.2, RFC 3986 3.3",
    why: "no URI has them, and they end or split a path for some readers",
    explains: |case| {
        let is_refused = case.refused("TargetFragment") || case.refused("Target");
        is_refused && case.target().iter().any(|byte| b"\"<>\\#".contains(byte) || !byte.is_ascii())
    },
};
const TARGET_BYTES: Class = Class {
    name: "target with brackets, braces, bar, caret, grave accent, or a percent sign that encodes nothing",
    rule: "RFC 9112 3.2",
    why: "no URI has them, but browsers send them, and no reader takes them for the end of anything",
    explains: |case| {
        let target = case.target();
        let is_odd = target.iter().any(|byte| b"[]{}|^`%".contains(byte));
        let is_plain = target.iter().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\#".contains(byte));
        let is_said = match case.theirs {
            Step::Refused(rule) => rule.ends_with("byte of a target") || rule == "hyper::Error(Parse(Uri))",
            _ => false,
        };
        matches!(case.ours, Step::Taken(_)) && is_odd && is_plain && is_said
    },
};
const OPTIONS_OF_SERVER: Class = Class {
    name: "OPTIONS with a URI that has neither path nor query",
    rule: "RFC 9112 3.2.4",
    why: "it is for the server as a whole; hyper cannot tell it from the path of one slash",
    explains: |case| match (case.ours, case.theirs) {
        (Step::Taken(ours), Step::Taken(theirs)) => {
            let mut same = ours.clone();
            same.target.path = b"/".to_vec();
            ours.subject == b"OPTIONS" && ours.target.path == b"*" && same == *theirs
        }
        _ => false,
    },
};
const LONG_LINE: Class = Class {
    name: "request line of more than 8 KiB",
    rule: "RFC 9112 3",
    why: "a server may answer 414 to a target longer than it wants to read, and 8,000 bytes are to be supported",
    explains: |case| {
        let line = case.bytes.strip_prefix(b"\r\n").unwrap_or(case.bytes);
        let n_line = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
        case.refused("LineTooLong") && n_line >= 8_192
    },
};
const MANY_FIELDS: Class = Class {
    name: "more than 128 fields",
    rule: "RFC 9110 5.4",
    why: "a recipient may set a limit; hyper has the same here",
    explains: |case| case.refused("TooManyFields") && case.told().is_some_and(|told| told.fields.len() > 128),
};
const SIZE_SPACE: Class = Class {
    name: "white space behind a chunk size",
    rule: "RFC 9112 7.1.1",
    why: "the grammar allows it before an extension alone; readers disagree over what may follow it",
    explains: |case| {
        let is_spaced = |pair: &[u8]| pair[0].is_ascii_hexdigit() && matches!(pair[1], b' ' | b'\t');
        case.refused("Size") && case.is_chunked() && case.bytes.windows(2).any(is_spaced)
    },
};
const SIZE_DIGITS: Class = Class {
    name: "chunk size of more than 16 digits",
    rule: "RFC 9112 7.1",
    why: "leading zeros may be any number by the grammar; readers that count digits or bits disagree over them",
    explains: |case| {
        let has_many = case.bytes.windows(17).any(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        case.refused("SizeTooLarge") && case.is_chunked() && has_many
    },
};
const EXTENSION: Class = Class {
    name: "chunk extension that breaks the grammar",
    rule: "RFC 9112 7.1.1",
    why: "hyper skips all up to the line end; who looks for the second quote finds another one",
    explains: |case| case.refused("Extension") && case.is_chunked() && case.bytes.contains(&b';'),
};
const LATE_FIELDS: Class = Class {
    name: "trailers that say what a head has to say",
    rule: "RFC 9110 6.5.1",
    why: "fields that frame, route, authenticate or describe content come too late and are left out; so are names with an \
        underscore, which some readers take for others",
    explains: |case| match (case.ours, case.theirs) {
        (Step::Taken(ours), Step::Taken(theirs)) => {
            let mut same = theirs.clone();
            same.trailers.retain(|field| ours.trailers.contains(field));
            let is_late = |field: &&Field| !ours.trailers.contains(field);
            let mut late = theirs.trailers.iter().filter(is_late);
            same == *ours && late.all(|Field { name, .. }| name.contains(&b'_') || LATE.contains(&&name[..]))
        }
        _ => false,
    },
};
const STATUS: Class = Class {
    name: "status above 599",
    rule: "RFC 9110 15",
    why: "it is invalid and may be taken for a 5xx; a gateway answers that by itself",
    explains: |case| {
        case.refused("Status")
            && case.told().is_some_and(|told| matches!(told.subject[..], [b'6'..=b'9', ..]))
    },
};
const NO_REASON: Class = Class {
    name: "no space behind the status",
    rule: "RFC 9112 4",
    why: "many servers leave it out where the reason is empty, and every reader takes it",
    explains: |case| {
        let is_said = *case.theirs == Step::Refused("RFC 9112 4 space behind the status".into());
        matches!(case.ours, Step::Taken(_)) && is_said && case.bytes.get(12) == Some(&b'\r')
    },
};
const SUSPECT: Class = Class {
    name: "what follows a 204 that announces content",
    rule: "RFC 9112 6.3, RFC 9110 8.6",
    why: "it could be that content: we end the connection, which a client may do at any time",
    explains: |case| {
        let is_framed = |before: &Message| {
            before.subject == b"204"
                && (before.has("transfer-encoding")
                    || before.values("content-length").any(|value| value != b"0"))
        };
        *case.ours == Step::Closed && case.before.is_some_and(is_framed)
    },
};

// === impl Case ===

impl Case<'_> {
    fn refused(&self, refusal: &str) -> bool {
        matches!(self.ours, Step::Refused(ours) if ours == refusal)
    }

    /// The message as the other reader has it.
    fn told(&self) -> Option<&Message> {
        match self.theirs {
            Step::Taken(message) => Some(message),
            _ => None,
        }
    }

    fn is_chunked(&self) -> bool {
        self.told().is_some_and(|told| told.has("transfer-encoding"))
    }

    /// The request target as it stands in the line.
    fn target(&self) -> &[u8] {
        let line = self.bytes.strip_prefix(b"\r\n").unwrap_or(self.bytes);
        line.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).nth(1).unwrap_or_default()
    }

    /// Lines of the head that begin like this, whatever their case.
    fn n_lines(&self, start: &[u8]) -> usize {
        let n_head = self.bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(self.bytes.len());
        let lines = self.bytes[..n_head].split(|byte| *byte == b'\n');
        lines.filter(|line| line.to_ascii_lowercase().starts_with(start)).count()
    }

    fn has_line(&self, start: &[u8]) -> bool {
        self.n_lines(start) > 0
    }
}

// === impl Message ===

impl Message {
    fn values<'m>(&'m self, name: &'m str) -> impl DoubleEndedIterator<Item = &'m [u8]> {
        self.fields.iter().filter(move |field| field.name == name.as_bytes()).map(|field| &field.value[..])
    }

    fn elements<'m>(&'m self, name: &'m str) -> impl DoubleEndedIterator<Item = &'m [u8]> {
        self.values(name).flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
    }

    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// Whether a host is an address, or a name that DNS can hold, with a port that TCP can have.
fn is_routable(authority: &[u8]) -> bool {
    let text = String::from_utf8_lossy(authority);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (&*text, ""),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_port = port.len() <= 5 && (port.is_empty() || is_number);
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return is_port && address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label_byte = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(is_label_byte);
    is_port && name.len() <= 253 && name.split('.').all(is_label)
}

/// Names of the trailers that are made here and belong into a head.
const LATE: [&[u8]; 16] = [
    b"connection",
    b"proxy-connection",
    b"upgrade",
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"cookie",
    b"if-match",
    b"x-forwarded-for",
    b"authorization",
    b"via",
    b"expect",
    b"content-type",
    b"date",
    b"te",
    b"trailer",
];
