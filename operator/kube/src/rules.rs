//! Where the rules of the Gateway API stand. Some judge a list or an object as a whole, and a cause names that; igw
//! knows the field in it that is wrong, which the message tells.

use igw_crds::yaml::{Fault, Mistake};

/// The field that a server with the Gateway API's own schemas would name, where it is above the one that is wrong.
pub(crate) fn field_of_rule(mistake: &Mistake) -> Option<&str> {
    if !mistake.is_rule {
        return None;
    }
    let shape = shape(&mistake.field);
    let (.., n_above) =
        RULES.iter().find(|(fault, pattern, _)| *fault == mistake.fault && *pattern == shape)?;
    let mut field = mistake.field.as_str();
    for _ in 0..*n_above {
        let end = field.rfind(['.', '['])?;
        field = field.get(..end)?;
    }
    Some(field)
}

/// A path without the numbers of items.
fn shape(field: &str) -> String {
    let is_inside = |inside: &mut bool, character: char| {
        let keeps = !*inside || character == ']';
        match character {
            '[' => *inside = true,
            ']' => *inside = false,
            _ => {}
        }
        Some((keeps, character))
    };
    field.chars().scan(false, is_inside).filter(|(keeps, _)| *keeps).map(|(_, character)| character).collect()
}

/// Mistakes that are rules of something above: how many steps above.
const RULES: [(Fault, &str, usize); 17] = [
    (Fault::Invalid, "spec.listeners[]", 1),
    (Fault::Duplicate, "spec.listeners[].name", 2),
    (Fault::Invalid, "spec.listeners[].hostname", 2),
    (Fault::Invalid, "spec.listeners[].tls.mode", 3),
    (Fault::Duplicate, "spec.addresses[].value", 2),
    (Fault::Duplicate, "spec.tls.frontend.perPort[].port", 2),
    (Fault::Invalid, "spec.parentRefs[]", 1),
    (Fault::Duplicate, "spec.parentRefs[]", 1),
    (Fault::Duplicate, "spec.targetRefs[]", 1),
    (Fault::Duplicate, "spec.rules[].name", 2),
    (Fault::Duplicate, "spec.rules[].filters[].type", 2),
    (Fault::Duplicate, "spec.rules[].backendRefs[].filters[].type", 2),
    (Fault::Invalid, "spec.rules[].backendRefs", 1),
    (Fault::Invalid, "spec.rules[].matches[].path.value", 1),
    (Fault::Invalid, "spec.rules[].matches[].method.service", 1),
    (Fault::Invalid, "spec.rules[].matches[].method.method", 1),
    (Fault::Invalid, "spec.rules[].timeouts.backendRequest", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: Fault, field: &str, is_rule: bool, expected: Option<&str>) {
        let mistake = Mistake {
            field: field.to_owned(),
            fault,
            place: None,
            is_rule,
            message: String::new(),
            allowed: None,
        };
        assert_eq!(field_of_rule(&mistake), expected, "{field}");
    }

    #[test]
    fn rules_stand_above_what_they_judge() {
        check(Fault::Duplicate, "spec.listeners[12].name", true, Some("spec.listeners"));
        check(Fault::Invalid, "spec.listeners[0].hostname", true, Some("spec.listeners"));
        check(Fault::Invalid, "spec.listeners[0].hostname", false, None);
        check(
            Fault::Invalid,
            "spec.rules[1].matches[2].path.value",
            true,
            Some("spec.rules[1].matches[2].path"),
        );
        check(Fault::TooLong, "spec.rules[1].matches[2].path.value", true, None);
        check(Fault::Invalid, "spec.parentRefs[3]", true, Some("spec.parentRefs"));
    }
}
