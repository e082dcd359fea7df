//! What was measured, round by round, and what it comes to. Pure.

use std::collections::BTreeMap;

/// The values of every figure, one a round.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<f64>>);

/// Several values in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Samples {
    pub fn add(&mut self, figure: &str, value: f64) {
        self.0.entry(figure.to_owned()).or_default().push(value);
    }

    pub fn all(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.0
    }

    pub fn of(&self, figure: &str) -> Option<Summary> {
        Summary::of(self.0.get(figure)?.clone())
    }

    /// One figure to another, each round by itself.
    pub fn ratio(&self, of: &str, to: &str) -> Option<Summary> {
        self.by_round(of, to, |of, to| of / to)
    }

    /// One figure less another, each round by itself.
    pub fn difference(&self, of: &str, to: &str) -> Option<Summary> {
        self.by_round(of, to, |of, to| of - to)
    }

    fn by_round(&self, of: &str, to: &str, what: impl Fn(f64, f64) -> f64) -> Option<Summary> {
        let (of, to) = (self.0.get(of)?, self.0.get(to)?);
        Summary::of(of.iter().zip(to).map(|(of, to)| what(*of, *to)).collect())
    }
}

impl Summary {
    pub fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.sort_by(f64::total_cmp);
        Some(Summary {
            low: *values.first()?,
            median: quantile(&values, 0.5),
            high: *values.last()?,
        })
    }
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// Of values in order; between two of them where it falls between.
pub fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}
