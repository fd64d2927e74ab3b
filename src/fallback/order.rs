//! The order in which the targets of a request are tried.

use smallvec::SmallVec;

use super::target::Target;

/// The places of targets in their list. Longer lists than usual allocate.
pub(super) type Order = SmallVec<[u16; 8]>;

/// Returns the order of a list. In each run of targets of one group that has weights, `pick` chooses
/// the first one: it returns a number below its argument, which is not zero.
pub(super) fn order(targets: &[Target], mut pick: impl FnMut(u64) -> u64) -> Order {
    let mut order: Order = (0..=u16::MAX).take(targets.len()).collect();
    let mut start = 0;
    for run in targets.chunk_by(Target::is_beside) {
        let places = order.get_mut(start..start + run.len()).unwrap_or_default();
        start += run.len();
        if run.len() < 2 || run.iter().all(|target| target.weight.is_none()) {
            continue;
        }
        let weight = |place: u16| {
            targets.get(usize::from(place)).map_or(0, |target| target.weight.unwrap_or(1))
        };
        // Targets of weight zero come last.
        places.sort_by_key(|place| weight(*place) == 0);
        let total: u64 = places.iter().map(|place| u64::from(weight(*place))).sum();
        if total == 0 {
            continue;
        }
        let mut picked = pick(total);
        let first = places.iter().position(|place| {
            let own = u64::from(weight(*place));
            let is_here = picked < own;
            picked = picked.saturating_sub(own);
            is_here
        });
        if let Some(beginning) = first.and_then(|first| places.get_mut(..=first)) {
            // The others keep their order.
            beginning.rotate_right(1);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        fallback::health::Health,
        secret::Secret,
        stages::{Stage, TokenSource},
    };

    fn target(group: Option<&Arc<Health>>) -> Target {
        let token = TokenSource::value(Secret::new("hf_example")).unwrap();
        let stage = Stage::new("s", "https://a.example".parse().unwrap(), token);
        let mut target = Target::new(stage);
        if let Some(health) = group {
            target.health = Arc::clone(health);
        }
        target
    }

    #[test]
    fn without_weights_the_order_is_that_of_the_list() {
        let group = Arc::default();
        let targets = [target(None), target(Some(&group)), target(Some(&group))];
        assert_eq!(order(&targets, |_| unreachable!()).as_slice(), [0, 1, 2]);
        assert!(order(&[], |_| unreachable!()).is_empty());
    }

    #[test]
    fn the_first_of_a_group_is_picked_by_weight() {
        let group = Arc::default();
        let targets = [
            target(None),
            target(Some(&group)).weight(3),
            target(Some(&group)).weight(0),
            target(Some(&group)),
            target(None),
        ];
        for (picked, expected) in
            [(0, [0, 1, 3, 2, 4]), (1, [0, 1, 3, 2, 4]), (2, [0, 1, 3, 2, 4]), (3, [0, 3, 1, 2, 4])]
        {
            let found = order(&targets, |total| {
                assert_eq!(total, 4);
                picked
            });
            assert_eq!(found.as_slice(), expected, "{picked}");
        }
    }

    #[test]
    fn weights_of_zero_alone_keep_the_order() {
        let group = Arc::default();
        let targets = [target(Some(&group)).weight(0), target(Some(&group)).weight(0)];
        assert_eq!(order(&targets, |_| unreachable!()).as_slice(), [0, 1]);
    }
}
