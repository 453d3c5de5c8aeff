//! placeholder
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use igw_crds::snapshot::Snapshot;
use super::persist::Remembered;
use crate::upstream::backend::Backend;
/// State of every template, for display.
#[derive(Clone, Default)]
pub(crate) struct TemplateStates {
    states: Rc<RefCell<HashMap<(String, String), String>>>,
}
impl TemplateStates { pub(crate) fn of(&self, _k: &str) -> BTreeMap<String,String> { BTreeMap::new() } }
pub(crate) struct Discovery { states: TemplateStates }
impl Discovery {
    pub(crate) fn new(_r: Remembered, _f: impl Fn(Arc<Backend>) + 'static) -> Self { Self{states: TemplateStates::default()} }
    pub(crate) fn follow(&mut self, _s: &Snapshot, _b: &[Arc<Backend>]) {}
    pub(crate) fn persisted(&self) -> Remembered { Remembered::new() }
    pub(crate) fn states(&self) -> TemplateStates { self.states.clone() }
    pub(crate) fn queries(&self) -> Box<dyn Fn() -> Vec<(String, &'static str, u64)> + Send + Sync> { Box::new(Vec::new) }
}
