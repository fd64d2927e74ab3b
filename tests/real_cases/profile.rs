//! What each kind of upstream accepts and how its requests are edited.
