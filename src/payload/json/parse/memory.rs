use crate::{
    memory_limit::MemoryPermit,
    payload::json::{error::DocumentError, fault::JsonError},
};

/// The memory that a document may take while it is parsed.
pub(crate) trait ParseMemory {
    /// A malformed document or a lack of memory.
    type Error: From<JsonError>;

    fn take(&mut self, bytes: usize) -> Result<(), Self::Error>;

    fn give_back(&mut self, bytes: usize);
}

/// No limit besides the bounds of the document.
#[derive(Default)]
pub(crate) struct Unlimited;

impl ParseMemory for Unlimited {
    type Error = JsonError;

    fn take(&mut self, _bytes: usize) -> Result<(), JsonError> {
        Ok(())
    }

    fn give_back(&mut self, _bytes: usize) {}
}

/// `None` has no limit besides the bounds of the document.
impl ParseMemory for Option<MemoryPermit> {
    type Error = DocumentError;

    fn take(&mut self, bytes: usize) -> Result<(), DocumentError> {
        Ok(self.as_mut().map_or(Ok(()), |permit| permit.grow(bytes))?)
    }

    fn give_back(&mut self, bytes: usize) {
        if let Some(permit) = self {
            permit.shrink(bytes);
        }
    }
}
