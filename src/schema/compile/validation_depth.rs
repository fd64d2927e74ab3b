//! How deep a validation can go.

use std::collections::BTreeMap;

use jsonschema::{ReferencingError, Registry, Uri};
use serde_json::Value;

use super::{
    draft::{AppliesTo, Draft},
    subschemas::{each_subschema, references},
};

/// How many schemas can stand in one another while a document is validated.
///
/// The validator calls itself for each. A schema that does not come back to itself has a longest
/// way through it; one that does may go round once for each level of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidationDepth {
    /// At one value: along `allOf`, `$ref` and the like.
    here: usize,
    /// From the root to the deepest value. `None` where the schema comes back to itself.
    whole: Option<usize>,
}

impl ValidationDepth {
    /// What a stack of two megabytes holds, with room for a build that is not optimized.
    const MOST: usize = 2_500;

    /// Whether documents of some depth can be validated.
    pub(crate) fn allows(self, depth: usize) -> bool {
        let round = self.here.saturating_mul(depth + 1);
        self.whole.map_or(round, |whole| whole.min(round)) <= Self::MOST
    }

    /// How many schemas can stand in one another at one value.
    pub(crate) const fn at_one_value(self) -> usize {
        self.here
    }

    /// How deep a document can be seen when so many schemas may stand in one another. `None` when
    /// not even its root can.
    pub(crate) fn levels(self, most: usize) -> Option<usize> {
        if self.whole.is_some_and(|whole| whole <= most) {
            return Some(usize::MAX);
        }
        (most / self.here.max(1)).checked_sub(1)
    }

    /// Follows the schema `root`, whose URI is `uri`, and what it refers to.
    pub(crate) fn of(
        registry: &Registry<'_>,
        uri: Uri<String>,
        root: &Value,
        draft: Draft,
    ) -> Result<Self, ReferencingError> {
        let mut graph = Graph::default();
        let resolver = registry.resolver(uri);
        let mut pending = vec![(None, root, draft.engine(), resolver)];
        let (mut anchors, mut dynamic) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        while let Some((from, value, engine, resolver)) = pending.pop() {
            let Some(schema) = value.as_object() else { continue };
            let (node, is_new) = graph.node(value);
            if let Some((from, applies)) = from {
                graph.edges.push((from, node, applies == AppliesTo::SameValue));
            }
            if !is_new {
                continue;
            }
            let own = engine.detect(value);
            let resolver = resolver.in_subresource(own.create_resource_ref(value))?;
            let Some(draft) = Draft::from_engine(own) else { continue };
            for (keyword, text) in references(schema) {
                // What leads nowhere is for the compiler to say.
                if let Ok(target) = resolver.lookup(text) {
                    let (contents, resolver, engine) = target.into_inner();
                    pending.push((Some((node, AppliesTo::SameValue)), contents, engine, resolver));
                }
                match keyword {
                    "$dynamicRef" => {
                        let name = text.split_once('#').map_or("", |(_, name)| name);
                        dynamic.push((node, name));
                    }
                    "$recursiveRef" => dynamic.push((node, "")),
                    _ => {}
                }
            }
            if let Some(name) = schema.get("$dynamicAnchor").and_then(Value::as_str) {
                anchors.entry(name).or_default().push(node);
            }
            if schema.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
                anchors.entry("").or_default().push(node);
            }
            each_subschema(schema, draft, |applies, _, _, value| {
                if applies != AppliesTo::Nothing {
                    pending.push((Some((node, applies)), value, own, resolver.clone()));
                }
            });
        }
        // Where a dynamic reference leads depends on the way that led to it.
        for (from, name) in dynamic {
            let targets = anchors.get(name).into_iter().flatten();
            graph.edges.extend(targets.map(|to| (from, *to, true)));
        }
        let (here, _) = graph.longest(|is_here| is_here);
        let (whole, is_endless) = graph.longest(|_| true);
        Ok(Self { here, whole: (!is_endless).then_some(whole) })
    }
}

#[derive(Default)]
struct Graph {
    /// Numbers of the schemas, by their address.
    nodes: BTreeMap<usize, usize>,
    /// From, to, and whether it applies to the very value.
    edges: Vec<(usize, usize, bool)>,
}

impl Graph {
    fn node(&mut self, schema: &Value) -> (usize, bool) {
        let next = self.nodes.len();
        let node = *self.nodes.entry(std::ptr::from_ref(schema).addr()).or_insert(next);
        (node, node == next)
    }

    /// How many schemas the longest way leads through, and whether some way comes back to itself.
    ///
    /// Schemas are taken away once all ways that lead to them are known. Those that stay are on a
    /// circle or behind one; each counts once, as the validator enters none twice for one value.
    fn longest(&self, counts: impl Fn(bool) -> bool) -> (usize, bool) {
        let mut leads_to = vec![Vec::new(); self.nodes.len()];
        let mut unknown = vec![0_usize; self.nodes.len()];
        for (from, to, _) in self.edges.iter().filter(|edge| counts(edge.2)) {
            if let (Some(targets), Some(unknown)) = (leads_to.get_mut(*from), unknown.get_mut(*to))
            {
                targets.push(*to);
                *unknown += 1;
            }
        }
        let mut length = vec![1_usize; self.nodes.len()];
        let is_known = |(node, unknown): (usize, &usize)| (*unknown == 0).then_some(node);
        let mut known: Vec<usize> = unknown.iter().enumerate().filter_map(is_known).collect();
        let (mut longest, mut taken) = (0, 0);
        while let Some(node) = known.pop() {
            taken += 1;
            let own = length.get(node).copied().unwrap_or_default();
            longest = longest.max(own);
            for target in leads_to.get(node).into_iter().flatten() {
                if let (Some(length), Some(unknown)) =
                    (length.get_mut(*target), unknown.get_mut(*target))
                {
                    *length = (*length).max(own + 1);
                    *unknown -= 1;
                    if *unknown == 0 {
                        known.push(*target);
                    }
                }
            }
        }
        let circling = self.nodes.len() - taken;
        (longest + circling, circling > 0)
    }
}
