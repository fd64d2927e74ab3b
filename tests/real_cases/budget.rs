//! Estimates of prompts, and the addresses of callers.
