//! No answer without numbers: the probabilities of a run, or which of its values is none.

use super::{Inference, NetworkSummary, OutputActivation, probabilities, shown};

/// A value of a run that is not finite where an answer needs a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the network yields {value} for {place}, expected a finite number")]
pub struct NotFinite {
    /// NaN or an infinity.
    pub value: f32,
    /// For people: the class and the output, or the channel and the SE block.
    pub place: String,
}

impl Inference {
    /// The probabilities of every image, `[batch, classes]`, row-major.
    ///
    /// A logit of minus infinity is a class that cannot be, as networks mask classes: its probability is 0. With [`OutputActivation::None`] it would
    /// itself be the probability, and is refused.
    ///
    /// # Errors
    /// [`NotFinite`] for any other logit, a probability or a gate that is not finite. `summary` gives the names.
    pub fn probabilities(&self, summary: &NetworkSummary, activation: OutputActivation) -> Result<Vec<f32>, NotFinite> {
        self.check_gates(summary)?;
        let classes = summary.classes.max(1);
        let of_image = |logits: &[f32]| probabilities(logits, activation);
        let probabilities: Vec<f32> = self.logits.chunks(classes).flat_map(of_image).collect();
        // One logit that is no number spoils all probabilities of its image.
        let no_logit = |logit: &f32| !logit.is_finite() && *logit != f32::NEG_INFINITY;
        let bad = self.logits.iter().position(no_logit).or_else(|| probabilities.iter().position(|probability| !probability.is_finite()));
        let Some(at) = bad else { return Ok(probabilities) };
        let output = summary.outputs.first().map(|output| format!(" of output {}", shown(&output.name))).unwrap_or_default();
        let value = if self.logits[at].is_finite() { probabilities[at] } else { self.logits[at] };
        Err(NotFinite { value, place: format!("class {}{output}", at % classes) })
    }

    fn check_gates(&self, summary: &NetworkSummary) -> Result<(), NotFinite> {
        for (block, gates) in summary.se_blocks.iter().zip(&self.gates) {
            if let Some(at) = gates.iter().position(|gate| !gate.is_finite()) {
                let place = format!("the gate of channel {} of SE block {}", at % block.channels.max(1), shown(&block.name));
                return Err(NotFinite { value: gates[at], place });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::TensorInfo;

    fn probabilities_of(logits: &[f32], activation: OutputActivation) -> Result<Vec<f32>, String> {
        let output = TensorInfo { name: "logits".to_owned(), datatype: "FP32".to_owned(), shape: vec![-1, 2] };
        let summary = NetworkSummary { classes: 2, outputs: vec![output], ..NetworkSummary::default() };
        let inference = Inference { logits: logits.to_vec(), gates: vec![] };
        inference.probabilities(&summary, activation).map_err(|error| error.to_string())
    }

    #[test]
    fn a_masked_class_has_no_probability_and_whatever_is_no_number_is_named() {
        const NOWHERE: f32 = f32::NEG_INFINITY;
        use OutputActivation::{Exp, None, Sigmoid, Softmax};
        for (logits, activation, expected) in
            [([2.0, NOWHERE], Softmax, [1.0, 0.0]), ([0.0, NOWHERE], Sigmoid, [0.5, 0.0]), ([0.0, NOWHERE], Exp, [1.0, 0.0])]
        {
            assert_eq!(probabilities_of(&logits, activation).unwrap(), expected, "{activation:?}");
        }
        for (logits, activation, value) in [
            ([0.0, f32::NAN], Softmax, "NaN"),
            ([0.0, f32::NAN], None, "NaN"),
            ([0.0, f32::INFINITY], Sigmoid, "inf"),
            ([0.0, NOWHERE], None, "-inf"),
            ([0.0, 1000.0], Exp, "inf"),
        ] {
            let expected = format!("the network yields {value} for class 1 of output \"logits\", expected a finite number");
            assert_eq!(probabilities_of(&logits, activation).unwrap_err(), expected, "{activation:?}");
        }
        assert!(probabilities_of(&[NOWHERE, NOWHERE], Softmax).unwrap_err().contains("-inf for class 0"), "no class is left");
        assert!(probabilities_of(&[0.0, 1.0, 2.0, f32::NAN], Softmax).unwrap_err().contains("class 1"), "of the second image");
    }
}
