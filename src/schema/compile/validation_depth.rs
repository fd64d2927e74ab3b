//! Limits the recursion of a validation.

use std::collections::BTreeMap;

use jsonschema::{ReferencingError, Registry, Uri};
use serde_json::Value;

use super::{
    draft::{AppliesTo, Draft},
    subschemas::{each_subschema, references},
};

/// The number of nested schemas during the validation of a document.
///
/// The validator recurses for each. A schema without recursion has a longest path. A recursive
/// schema can repeat once for each level of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidationDepth {
    /// At one value, along `allOf`, `$ref` and similar keywords.
    here: usize,
    /// From the root to the deepest value. `None` if the schema is recursive.
    whole: Option<usize>,
}

impl ValidationDepth {
    /// Fits on a stack of two megabytes in an unoptimized build.
    const MOST: usize = 2_500;

    /// Returns whether documents of this depth can be validated.
    pub(crate) fn allows(self, depth: usize) -> bool {
        let round = self.here.saturating_mul(depth + 1);
        self.whole.map_or(round, |whole| whole.min(round)) <= Self::MOST
    }

    /// Returns the number of nested schemas at one value.
    pub(crate) const fn at_one_value(self) -> usize {
        self.here
    }

    /// Returns the maximum depth of a document for which `most` nested schemas suffice. Returns
    /// `None` if they do not suffice for its root.
    pub(crate) fn levels(self, most: usize) -> Option<usize> {
        if self.whole.is_some_and(|whole| whole <= most) {
            return Some(usize::MAX);
        }
        (most / self.here.max(1)).checked_sub(1)
    }

    /// Follows the schema `root` at `uri` and its references.
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
                // The compiler reports references that do not resolve.
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
        // The target of a dynamic reference depends on the path to it.
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
    /// Numbers of the schemas by their address.
    nodes: BTreeMap<usize, usize>,
    /// From, to and whether the edge applies to the same value.
    edges: Vec<(usize, usize, bool)>,
}

impl Graph {
    fn node(&mut self, schema: &Value) -> (usize, bool) {
        let next = self.nodes.len();
        let node = *self.nodes.entry(std::ptr::from_ref(schema).addr()).or_insert(next);
        (node, node == next)
    }

    /// Returns the number of schemas on the longest path and whether there is a cycle.
    ///
    /// A schema is removed once all paths to it are known. The remaining ones are on a cycle or
    /// behind one. Each counts once, because the validator enters no schema twice for one value.
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
