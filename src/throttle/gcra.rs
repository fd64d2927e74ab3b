//! governor's generic cell rate algorithm over a cell that is lent to it.
