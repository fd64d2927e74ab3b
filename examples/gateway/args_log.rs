//! Flags of the access log.

use std::path::PathBuf;

use super::{UsageError, once, read};

pub(super) const FLAGS: [&str; 3] = ["--access-log", "--access-log-format", "--access-log-sample"];

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct AccessLog {
    /// `None`: stdout, or a file of its own for the demo, whose commands are on stdout.
    pub(crate) to: Option<LogPlace>,
    pub(crate) format: LogFormat,
    /// The share of successful requests in percent. `None`: all, without a rate in each line.
    pub(crate) sample: Option<u8>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LogPlace {
    Stdout,
    File(PathBuf),
    Off,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum LogFormat {
    #[default]
    Json,
    ApiGateway,
    OpenTelemetry,
    Common,
    Combined,
    Emf,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    to: Option<LogPlace>,
    format: Option<LogFormat>,
    sample: Option<u8>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        match flag {
            "--access-log" => {
                let place = match value {
                    "stdout" => LogPlace::Stdout,
                    "off" => LogPlace::Off,
                    file => LogPlace::File(file.into()),
                };
                once(flag, &mut self.to, place)
            }
            "--access-log-format" => {
                let expected = "json, apigateway, otel, clf, combined or emf";
                let format = read(flag, value, format, expected)?;
                once(flag, &mut self.format, format)
            }
            _ => {
                let percent = read(flag, value, percent, "a percentage from 0 to 100")?;
                once(flag, &mut self.sample, percent)
            }
        }
    }

    pub(super) fn resolve(self) -> AccessLog {
        let Self { to, format, sample } = self;
        AccessLog { to, format: format.unwrap_or_default(), sample }
    }
}

fn format(text: &str) -> Option<LogFormat> {
    Some(match text {
        "json" => LogFormat::Json,
        "apigateway" => LogFormat::ApiGateway,
        "otel" => LogFormat::OpenTelemetry,
        "clf" => LogFormat::Common,
        "combined" => LogFormat::Combined,
        "emf" => LogFormat::Emf,
        _ => return None,
    })
}

fn percent(text: &str) -> Option<u8> {
    text.parse().ok().filter(|percent| *percent <= 100)
}
