//! The access log.

use std::{fs::OpenOptions, io};

use tower_inference::access_log::{AccessLogLayer, Record, Sink};

use crate::{Error, args::AccessLog};

/// A layer that writes where the flag says, in lines of JSON.
pub(crate) fn layer(to: &AccessLog) -> Result<AccessLogLayer, Error> {
    match to {
        AccessLog::Off => Ok(AccessLogLayer::to(|_: &Record<'_>| {}).usage(false)),
        AccessLog::Stdout => Ok(AccessLogLayer::json(Sink::new(io::stdout())?)),
        AccessLog::File(file) => {
            let open = OpenOptions::new().create(true).append(true).open(file);
            let open = open.map_err(|error| format!("--access-log {}: {error}", file.display()))?;
            Ok(AccessLogLayer::json(Sink::new(open)?))
        }
    }
}
