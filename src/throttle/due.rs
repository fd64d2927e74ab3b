use http::Response;
use smallvec::SmallVec;

use super::{
    Store,
    ask::Settlement,
    failures,
    fields::Fields,
    limits::{Limits, Unit},
};

/// What is to be done with the head of an answer.
#[derive(Debug)]
pub(super) struct Due {
    fields: Option<Fields>,
    unit: Unit,
    // Where it refuses the credentials.
    charge: Option<(Store, SmallVec<[Settlement; 1]>)>,
}

impl Due {
    pub(super) fn new(
        limits: &Limits,
        fields: Option<Fields>,
        charge: SmallVec<[Settlement; 1]>,
    ) -> Self {
        let charge = (!charge.is_empty()).then(|| (limits.store().clone(), charge));
        Self { fields, unit: limits.unit(), charge }
    }

    pub(super) fn answered<R>(self, response: &mut Response<R>) {
        let Self { fields, unit, charge } = self;
        if let Some((store, settlements)) = charge
            && failures::refused_credentials(response)
        {
            store.backend().settle(&settlements);
        }
        if let Some(fields) = fields {
            fields.answer(unit, response);
        }
    }
}
