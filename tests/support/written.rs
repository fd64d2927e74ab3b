//! A writer that keeps what is written.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

/// Clones keep the same bytes.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
