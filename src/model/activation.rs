//! What turns the network's output into probabilities: stated, told from the graph, or assumed.

use super::statement::DEFAULT;
use crate::inference::{Ending, OutputActivation};

/// What it is said to come from that the graph tells.
const GRAPH: &str = "the network's graph";

/// What is known of the output when the choice is made.
pub(super) struct Output<'a> {
    /// What the graph tells.
    pub ending: Ending,
    /// Values of the first image of the first run, one for each class.
    pub values: &'a [f32],
}

/// The activation, and where it comes from; `warnings` receives what was assumed, and what does not fit the output.
///
/// `model_toml` is what that states, `neighbour` what another file says of the network's scores, and which one.
pub(super) fn choose(
    model_toml: Option<OutputActivation>,
    neighbour: Option<(OutputActivation, &str)>,
    output: &Output<'_>,
    warnings: &mut Vec<String>,
) -> (OutputActivation, String) {
    let Some(stated) = model_toml else {
        return match (output.told(), neighbour) {
            (Some(told), _) => (told, GRAPH.to_owned()),
            (None, Some((OutputActivation::Softmax, _))) if output.values.len() == 1 => output.assumed(warnings),
            (None, Some((said, origin))) => (said, origin.to_owned()),
            (None, None) => output.assumed(warnings),
        };
    };
    if stated == OutputActivation::Softmax && output.values.len() == 1 {
        let right = output.told().unwrap_or(OutputActivation::Sigmoid);
        warnings.push(format!("output.activation is \"softmax\", which of one output is always 1: {} holds", spelled(right)));
        return (right, DEFAULT.to_owned());
    }
    warnings.extend(output.contradiction(stated).map(|reason| format!("output.activation is {}, yet {reason}", spelled(stated))));
    (stated, "model.toml".to_owned())
}

impl Output<'_> {
    fn told(&self) -> Option<OutputActivation> {
        match self.ending {
            Ending::Probabilities => Some(OutputActivation::None),
            Ending::LogProbabilities => Some(OutputActivation::Exp),
            Ending::Scores => None,
        }
    }

    /// A network whose output sums to 1 ends in a softmax that the graph does not show: a second one would flatten every probability.
    fn assumed(&self, warnings: &mut Vec<String>) -> (OutputActivation, String) {
        let (assumed, reason) = match self.values.len() {
            1 => (OutputActivation::Sigmoid, ", since the network has one output"),
            _ if self.sums_to_one() => (OutputActivation::None, ", since the network's output already sums to 1"),
            _ => (OutputActivation::Softmax, ""),
        };
        warnings.push(format!("output.activation is not given, {} is assumed{reason}", spelled(assumed)));
        (assumed, DEFAULT.to_owned())
    }

    fn sums_to_one(&self) -> bool {
        let sum: f32 = self.values.iter().sum();
        self.values.len() > 1 && self.values.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() < 1e-3
    }

    /// Why `stated` does not fit the output, and what would.
    fn contradiction(&self, stated: OutputActivation) -> Option<&'static str> {
        use OutputActivation::{Exp, None as Nothing, Sigmoid, Softmax};
        match (stated, self.ending) {
            (Softmax | Sigmoid | Exp, Ending::Probabilities) => Some("the network's output is probabilities already; is it \"none\"?"),
            (Sigmoid | Nothing, Ending::LogProbabilities) => Some("the network's output is the logarithm of probabilities; is it \"exp\"?"),
            (Softmax, Ending::Scores) if self.sums_to_one() => Some("the network's output already sums to 1; is it \"none\"?"),
            (Nothing, Ending::Scores) if self.values.iter().any(|value| !(0.0..=1.001).contains(value)) => {
                Some("the network's output is not within 0 to 1; is it \"softmax\", or \"sigmoid\"?")
            }
            (Exp, Ending::Scores) if self.values.iter().any(|value| *value > 0.001) => {
                Some("the network's output is above 0, as no logarithm of a probability is; is it \"softmax\"?")
            }
            _ => None,
        }
    }
}

/// As `model.toml` spells it.
fn spelled(activation: OutputActivation) -> String {
    super::statement::shown(&activation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(stated: Option<OutputActivation>, ending: Ending, values: &[f32]) -> (OutputActivation, Vec<String>) {
        let mut warnings = Vec::new();
        let (activation, _) = choose(stated, None, &Output { ending, values }, &mut warnings);
        (activation, warnings)
    }

    #[test]
    fn what_the_graph_tells_needs_no_warning() {
        use OutputActivation::{Exp, None as Nothing};
        assert_eq!(chosen(None, Ending::Probabilities, &[0.9, 0.8]), (Nothing, vec![]));
        assert_eq!(chosen(None, Ending::Probabilities, &[0.9]), (Nothing, vec![]));
        assert_eq!(chosen(None, Ending::LogProbabilities, &[-0.1, -3.0]), (Exp, vec![]));
        assert_eq!(chosen(Some(Nothing), Ending::Probabilities, &[0.9, 0.8]), (Nothing, vec![]));
    }

    #[test]
    fn one_output_is_never_a_softmax() {
        use OutputActivation::{Sigmoid, Softmax};
        let assumed = "output.activation is not given, \"sigmoid\" is assumed, since the network has one output";
        assert_eq!(chosen(None, Ending::Scores, &[3.0]), (Sigmoid, vec![assumed.to_owned()]));
        let (activation, warnings) = chosen(Some(Softmax), Ending::Scores, &[3.0]);
        assert_eq!((activation, warnings.len()), (Sigmoid, 1), "{warnings:?}");
        let neighbour = Some((Softmax, "config.json (problem_type)"));
        let (activation, _) = choose(None, neighbour, &Output { ending: Ending::Scores, values: &[3.0] }, &mut vec![]);
        assert_eq!(activation, Sigmoid);
    }

    #[test]
    fn logits_get_a_softmax_unless_something_else_is_stated() {
        use OutputActivation::{Sigmoid, Softmax};
        let assumed = "output.activation is not given, \"softmax\" is assumed";
        assert_eq!(chosen(None, Ending::Scores, &[2.0, -1.0]), (Softmax, vec![assumed.to_owned()]));
        assert_eq!(chosen(Some(Sigmoid), Ending::Scores, &[2.0, -1.0]), (Sigmoid, vec![]));
        let neighbour = Some((Sigmoid, "config.json (problem_type)"));
        let (activation, origin) = choose(None, neighbour, &Output { ending: Ending::Scores, values: &[2.0, -1.0] }, &mut vec![]);
        assert_eq!((activation, origin.as_str()), (Sigmoid, "config.json (problem_type)"));
    }

    #[test]
    fn what_contradicts_the_output_holds_and_is_said() {
        use OutputActivation::{Exp, None as Nothing, Sigmoid, Softmax};
        for (stated, ending, values) in [
            (Softmax, Ending::Probabilities, [0.25, 0.75]),
            (Sigmoid, Ending::Probabilities, [0.5, 0.9]),
            (Nothing, Ending::LogProbabilities, [-1.0, -2.0]),
            (Softmax, Ending::Scores, [0.25, 0.75]),
            (Nothing, Ending::Scores, [7.0, -2.0]),
            (Exp, Ending::Scores, [7.0, -2.0]),
        ] {
            let (activation, warnings) = chosen(Some(stated), ending, &values);
            assert_eq!((activation, warnings.len()), (stated, 1), "{stated:?}, {ending:?}: {warnings:?}");
        }
        assert_eq!(chosen(Some(Softmax), Ending::LogProbabilities, &[-0.7, -0.7]).1, [] as [&str; 0], "it changes nothing");
        assert_eq!(chosen(None, Ending::Scores, &[0.25, 0.75]).0, Nothing);
    }
}
