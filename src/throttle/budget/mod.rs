//! Budgets of inference tokens.

mod bill;
mod body;
mod deltas;
mod estimate;
mod future;
mod layer;
mod prompt;
#[cfg(test)]
mod tests;
mod tokenizer;
mod weights;

pub use self::{
    body::BudgetBody,
    future::BudgetFuture,
    layer::{TokenBudget, TokenBudgetLayer},
    weights::{Weight, Weights},
};
