//! `plenum:metrics/figures`: what the plugin counts itself. No permission; bounded for each plugin.

use super::error;
use crate::bindings::plenum::metrics::figures::Host;
use crate::bindings::plenum::types::types::Error;
use crate::call::CallState;
use crate::figures::FigureKind;

impl CallState {
    fn figure(&self, name: String, kind: FigureKind, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.plugin.life.figures.take(name, kind, labels, value).map_err(|(code, why)| error(code, 422, why))
    }
}

impl Host for CallState {
    async fn add(&mut self, name: String, labels: Vec<(String, String)>, by: f64) -> Result<(), Error> {
        self.figure(name, FigureKind::Counter, labels, by)
    }

    async fn set(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.figure(name, FigureKind::Gauge, labels, value)
    }

    async fn observe(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.figure(name, FigureKind::Histogram, labels, value)
    }
}
