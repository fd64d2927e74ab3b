use std::sync::Arc;

use http::Request;

use super::{
    estimate::{Estimator, PreparedRequest},
    weights::{Weight, Weights},
};
use crate::{
    limits::{Limit, LimitSet, PermitRequests, Unit},
    payload::Payload,
    rejection::{Rejection, RejectionFormat},
};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Arc<LimitSet>,
    pub(super) estimator: Estimator,
    pub(super) weights: Option<Weights>,
    pub(super) rejections: RejectionFormat,
}

impl Settings {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limits: Arc::new(LimitSet::new(limit, Unit::Tokens)),
            estimator: Estimator::new(),
            weights: None,
            rejections: RejectionFormat::default(),
        }
    }

    pub(super) fn weight_of(&self, request: &Request<Payload>) -> Weight {
        self.weights.as_ref().map_or(Weight::new(1, 1), |weights| weights.of(request))
    }

    /// Lowers the output limit of a request that exceeds a budget because of the layer's default. The
    /// client did not choose that limit, so it is no reason to reject the request.
    pub(super) fn fit_default_limit(
        &self,
        request: &Request<Payload>,
        prepared: PreparedRequest,
        weight: Weight,
        permit_requests: &mut PermitRequests,
    ) -> Result<PreparedRequest, Rejection> {
        let exceeded = permit_requests
            .iter()
            .filter(|permits| permits.enforced && permits.allowance.never_allows(permits.cost));
        let Some(capacity) = exceeded.map(|permits| permits.allowance.capacity()).min() else {
            return Ok(prepared);
        };
        let mut estimator = self.estimator.clone();
        estimator.set_default_output_limit(weight.half_of(capacity));
        let Some(smaller) = estimator.prepare(request)? else { return Ok(prepared) };
        let (before, after) = (weight.cost(&prepared.estimate), weight.cost(&smaller.estimate));
        for permits in permit_requests.iter_mut().filter(|permits| permits.cost == before) {
            permits.cost = after;
        }
        Ok(smaller)
    }
}
