//! Budgets of inference tokens.

mod layer;

pub use self::layer::{TokenBudget, TokenBudgetLayer};
