//! Token budgets: what cannot be overdrawn, lost or locked.
