//! How the templates of each back end stand, for display. Of the control thread alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use igw_dns::template::TemplateState;

/// State of every template. A clone shows the same.
#[derive(Clone, Default)]
pub(crate) struct TemplateStates {
    /// By key of the back end, then by prefix of the template.
    states: Rc<RefCell<BTreeMap<String, BTreeMap<String, TemplateState>>>>,
}

// === impl TemplateStates ===

impl TemplateStates {
    /// State of each template of a back end, in words.
    pub(crate) fn of(&self, backend: &str) -> BTreeMap<String, String> {
        let states = self.states.borrow();
        let of_backend = states.get(backend).into_iter().flatten();
        of_backend.map(|(prefix, state)| (prefix.clone(), state.as_str().to_owned())).collect()
    }

    /// Takes note of a template's state.
    pub(crate) fn set(&self, backend: &str, prefix: &str, state: TemplateState) {
        self.states.borrow_mut().entry(backend.to_owned()).or_default().insert(prefix.to_owned(), state);
    }

    /// Forgets back ends that are not there any more.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.states.borrow_mut().retain(|backend, _| is_known(backend));
    }
}
